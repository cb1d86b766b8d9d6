# pyright: reportMissingTypeStubs=false
# (amqtt is annotated, but ships no py.typed)
"""What a CONNECT asks for, and why it may be refused: MQTT 3.1.1 sections 3.1 and 3.2.2.3."""

from __future__ import annotations

import dataclasses
import secrets

from amqtt.mqtt.connack import IDENTIFIER_REJECTED, NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import CONNECT
from shallop_protocol.topics import Access

from shallop_cloud.bench.broker_plugins import PasswordFile, TopicAccess
from shallop_cloud.bench.broker_routes import is_topic
from shallop_cloud.bench.broker_wire import BadPacket, Frame

_MQTT = b"\0\4MQTT"
_MQTT_3_1 = b"\0\6MQIsdp"
_LEVEL_3_1_1 = b"\4"


class Refused(Exception):
    """A CONNECT is answered with a return code and the connection closed."""

    def __init__(self, return_code: int, why: str) -> None:
        super().__init__(why)
        self.return_code = return_code


@dataclasses.dataclass(frozen=True)
class Will:
    """What is published when a connection ends without a DISCONNECT (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


async def decode_connect(frame: Frame) -> ConnectPacket:
    """The first packet of a connection.

    amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, waits for bytes that do not come, and never answers; here every
    other version of MQTT is told so (3.1.2-2), in the form that clients of MQTT 5 understand too.

    Raises:
        Refused: another version.
        BadPacket: not a CONNECT, or a malformed one.
    """
    if frame.header.packet_type != CONNECT:
        raise BadPacket("the first packet is not CONNECT")
    name, level = frame.body[: len(_MQTT)], frame.body[len(_MQTT) : len(_MQTT) + 1]
    if frame.body.startswith(_MQTT_3_1) or (name == _MQTT and level != _LEVEL_3_1_1):
        raise Refused(UNACCEPTABLE_PROTOCOL_VERSION, "a client speaks another version of MQTT than 3.1.1")
    if name != _MQTT:
        raise BadPacket("not MQTT")
    packet = await frame.decode()
    if not isinstance(packet, ConnectPacket) or packet.variable_header is None:
        raise BadPacket("the first packet is not CONNECT")
    details_of_no_will = not packet.will_flag and (packet.will_qos or packet.will_retain_flag)
    if packet.variable_header.reserved_flag or packet.will_qos > 2 or details_of_no_will:
        raise BadPacket(f"CONNECT with flags {packet.variable_header.flags:#04x}")
    return packet


def client_id_of(connect: ConnectPacket, user: str, rules: PasswordFile) -> str:
    """The id that a client goes by. Who may choose it may also leave it empty, and gets a fresh one (3.1.3.1).

    Raises:
        Refused: the user may not go by this id, or by an empty one.
    """
    made_up = connect.client_id_is_random  # by amqtt, in place of an empty one
    client_id = f"{user}-{secrets.token_hex(8)}" if made_up else connect.client_id or ""
    if not rules.may_use_client_id(user, client_id):
        asked = "an empty client id" if made_up else f"client id {client_id!r}"
        raise Refused(IDENTIFIER_REJECTED, f"user {user!r} may not use {asked}: a device's must be its user name")
    return client_id


def will_of(connect: ConnectPacket, user: str, rules: TopicAccess) -> Will | None:
    """The will of a CONNECT. amqtt lets anyone will anything.

    Raises:
        Refused: the user may not publish it.
        BadPacket: it lacks its topic or message.
    """
    if not connect.will_flag:
        return None
    if connect.will_topic is None or connect.will_message is None or not is_topic(connect.will_topic):
        raise BadPacket("a will without a topic or message")
    if not rules.allows(user, Access.PUBLISH, connect.will_topic):
        raise Refused(NOT_AUTHORIZED, f"user {user!r} may not publish its will to {connect.will_topic!r}")
    return Will(connect.will_topic, bytes(connect.will_message), connect.will_qos, connect.will_retain_flag)
