"""The bench broker's plugins for amqtt: who may log in, who may do what, and what one client may cost.

They are ordinary amqtt plugins, named in ``broker.yaml``. The bench broker also asks them directly, where amqtt has no
question of its own: the client id, last wills and retained messages.
"""

# pyright: reportMissingTypeStubs=false
# (amqtt is annotated, but ships no py.typed)
from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import cast

from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin, BaseTopicPlugin
from amqtt.session import Session
from shallop_protocol.topics import CLOUD, DEFAULT_ROOT, MONITOR, Access, Topics

from shallop_cloud import passwords

logger = logging.getLogger(__name__)


class PasswordFile(BaseAuthPlugin):
    """Everyone needs a user and password of the password file; nobody is anonymous.

    The file is read again when it changed and before anyone is turned away, so a device can connect as soon as it is
    enrolled. While it is missing or malformed, the entries read last stay in force.
    """

    @dataclasses.dataclass
    class Config(BaseAuthPlugin.Config):
        """The plugin's part of ``broker.yaml``."""

        path: str = "mqtt-passwords"

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._path = Path(cast("PasswordFile.Config", context.config).path)  # amqtt fills it from our Config
        self._users: dict[str, str] = {}
        self._read: tuple[int, int, int] | None = None
        self.reads = 0
        """How often the file was read."""

    def load(self) -> None:
        """Read the file now.

        Raises:
            PasswordFileError: it cannot be read or is malformed.
        """
        self._read = self._version()
        self._users = passwords.read_passwords(self._path)
        self.reads += 1

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the user and password that a client sent are right."""
        user, password = session.username, session.password
        if not user or password is None:
            return False
        self.refresh()
        if self.is_right(user, password):
            return True
        self._reload()  # two writes within one tick of the file system's clock look like one
        return self.is_right(user, password)

    def refresh(self) -> None:
        """Read the file again if it changed."""
        if self._version() != self._read:
            self._reload()

    def hashed(self, user: str) -> str | None:
        """A user's hashed password, by what was read last."""
        return self._users.get(user)

    def may_use_client_id(self, user: str, client_id: str) -> bool:
        """Whether a user may connect under a client id: then nobody can kick off another by taking its id.

        A device's id is its user name. The cloud's link and its replicas use ids that begin with ``cloud``; people
        who watch use any other id (``mosquitto_sub`` makes them up) that is not the name of another user.
        """
        if client_id == user:
            return True
        if user not in (CLOUD, MONITOR) or client_id in self._users:
            return False
        return client_id.startswith(CLOUD) == (user == CLOUD)

    def is_right(self, user: str, password: str) -> bool:
        """Whether this is the user's password, by what was read last."""
        return user in self._users and passwords.verify_password(password, self._users[user])

    def _version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _reload(self) -> None:
        try:
            self.load()
        except passwords.PasswordFileError as error:
            logger.warning("the password file cannot be read, its last good content stays in force: %s", error)


class TopicAccess(BaseTopicPlugin):
    """Who may publish, subscribe to and receive what: the rules of ``shallop_protocol.topics``."""

    @dataclasses.dataclass
    class Config(BaseTopicPlugin.Config):
        """The plugin's part of ``broker.yaml``."""

        root: str = DEFAULT_ROOT

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._topics = Topics(cast("TopicAccess.Config", context.config).root)  # amqtt fills it from our Config

    def allows(self, user: str, access: Access, topic: str) -> bool:
        """Whether an authenticated user may do this with a topic or filter."""
        return self._topics.allows(user, access, topic)

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """The same, in amqtt's words."""
        if session is None or session.username is None or topic is None or action is None:
            return False
        return self.allows(session.username, Access(str(action)), topic)


class Limits(BasePlugin[BaseContext]):
    """What one client may cost the broker. It does nothing by itself: the bench broker reads its configuration."""

    @dataclasses.dataclass
    class Config(BasePlugin.Config):
        """The plugin's part of ``broker.yaml``: bytes, bytes, and seconds."""

        max_packet_bytes: int = 1 << 20
        max_unread_bytes: int = 64 << 20
        connect_timeout_s: float = 10.0

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.limits = cast("Limits.Config", context.config)  # amqtt fills it from our Config
