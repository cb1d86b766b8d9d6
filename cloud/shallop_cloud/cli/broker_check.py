"""``shallop broker check``: a probe of any broker."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click
from shallop_protocol.topics import CLOUD, DEFAULT_ROOT, TopicError, Topics, is_wire_id

from shallop_cloud.cli import exits, output, parameters, tables, words

if TYPE_CHECKING:
    from shallop_cloud.brokers.check.peer import Account
    from shallop_cloud.cli.client import Json

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command(epilog=parameters.example("shallop broker check mqtt://HOST --cloud c:@FILE --device a:X --device b:Y"))
@click.argument("url")
@click.option("--cloud", "cloud_", metavar="USER:PASSWORD", required=True, help="The cloud's account.")
@click.option("--device", "devices", metavar="USER:PASSWORD", multiple=True, help="A device that no robot uses; twice.")
@click.option("--ca", type=_FILE, help="Who signed the broker's certificate; else the system's authorities.")
@click.option("--certificates", type=_FOLDER, help="Has USER.pem and USER.key of each, if the broker asks for them.")
@click.option("--topic-root", default=DEFAULT_ROOT, show_default=True, help="The root of all topics.")
@click.option(
    "-o",
    "--output",
    "format_",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How the answer is printed.",
)
def check(
    url: str,
    cloud_: str,
    devices: tuple[str, ...],
    ca: Path | None,
    certificates: Path | None,
    topic_root: str,
    format_: str,
) -> None:
    """Probe a broker: what it does, and what that means for shallop.

    It connects as the cloud and as two devices, tries what they may and what they may not do, and says what came of
    it, within a minute. It ends with 1 if the broker is unfit. A password that begins with @ is read from that file.

    Run it before the broker has a fleet: it speaks on the topics of the two devices and the cloud, empties the
    devices', and pushes off a cloud that uses the same account.
    """
    from shallop_cloud.brokers.check import peer, probes, rig
    from shallop_cloud.errors import StartupError
    from shallop_cloud.link.connection import BrokerUrl

    try:
        place = BrokerUrl.parse(url)
        topics = Topics(topic_root)
    except (StartupError, TopicError) as error:
        raise click.UsageError(str(error)) from None
    if place.username:
        raise click.UsageError("the account belongs to --cloud, not into the URL")
    cloud, *two = [_account(each, certificates) for each in (cloud_, *devices)]
    if len(two) != 2 or two[0].user == two[1].user:
        raise click.UsageError("give --device twice, with two different users")
    for each in two:
        if not is_wire_id(each.user):
            raise click.UsageError(f"device {each.user!r} must be 1 to 64 of a-z, 0-9, '-', and not {CLOUD!r}")
    deadline = peer.Deadline(probes.WITHIN_S)
    broker = peer.Broker(place.host, place.port, place.tls, ca, deadline)
    try:
        broker.context(cloud)
        results = [
            dataclasses.asdict(each) for each in probes.examine(rig.Rig(broker, topics, cloud, (two[0], two[1])))
        ]
    except OSError as error:
        raise exits.Failure(exits.Exit.USAGE, f"{ca or certificates}: {error.strerror or error}") from None
    answer: Json = {"data": [{**each, "verdict": each["verdict"].value} for each in results]}
    answer["fit"] = all(each["verdict"] in ("ok", "weaker") for each in answer["data"])
    output.show(answer, output.Format(format_), _show)
    if not answer["fit"]:
        raise exits.Failure(exits.Exit.FAILED, f"do not use the broker at {place.address} as it is")


def _account(text: str, certificates: Path | None) -> Account:
    from shallop_cloud.brokers.check.peer import Account

    user, _, password = text.partition(":")
    if password.startswith("@"):
        file = Path(password.removeprefix("@"))
        try:
            password = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"the password of {user!r} cannot be read from {file}: {error}") from None
    certificate, key = (certificates / f"{user}.{end}" if certificates else None for end in ("pem", "key"))
    return Account(user, password, certificate, key)


def _show(answer: Json) -> None:
    rows = [[each["subject"], tables.state(each["verdict"]), each["observed"]] for each in answer["data"]]
    tables.columns(["CHECK", "VERDICT", "OBSERVED"], rows)
    for each in answer["data"]:
        if each["verdict"] != "ok":
            click.echo()
            tables.say(tables.state(each["verdict"]), f": {words.clean(each['subject'])}")
            tables.say_all(each["observed"], indent=2)
            tables.say_all(each["means"], indent=2)
    if answer["fit"]:
        click.echo()
        tables.say("This broker is fit for shallop.")
