"""``shallop serve``: the cloud, on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import click
import structlog
from shallop_protocol.desired import MAX_CONTENT_BYTES
from shallop_protocol.topics import DEFAULT_ROOT, TopicError, Topics

from shallop_cloud import authorities, commands, errors, server
from shallop_cloud.cli import addresses, signals, words
from shallop_cloud.link.connection import BrokerUrl, Protocol
from shallop_cloud.services.shore import Limits


class Command(click.ParamType[Sequence[str]]):
    """A program with its arguments, as a shell splits them."""

    name = "command"

    def convert(
        self, value: str | Sequence[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[str]:
        """Its words."""
        if not isinstance(value, str):
            return value
        try:
            return commands.parse(value)
        except ValueError as error:
            self.fail(f"{value!r} cannot be split into words: {error}", param, ctx)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="The data directory.")
@click.option(
    "--database",
    metavar="URL",
    envvar="SHALLOP_DATABASE",
    help="A PostgreSQL database, postgresql://user@host/name, that several servers may share; else SQLite in --data.",
)
@click.option(
    "--listen", type=addresses.Address(), default="127.0.0.1:8080", show_default=True, help="Where the API listens."
)
@click.option("--broker", metavar="URL", help="An MQTT broker: mqtt://user:password@host:port, mqtts:// for TLS.")
@click.option(
    "--broker-protocol",
    type=click.Choice(["3.1.1", "5"]),
    default="3.1.1",
    show_default=True,
    help="Which MQTT that broker speaks; robots are told when they enrol.",
)
@click.option("--embedded-broker", is_flag=True, help="Run the bench broker in this process.")
@click.option("--broker-listen", type=addresses.Address(), help="Where the embedded broker listens.")
@click.option("--broker-config", type=click.Path(path_type=Path, dir_okay=False), help="Another broker.yaml.")
@click.option("--advertise-broker", metavar="URL", help="The broker's address as robots reach it, if another.")
@click.option(
    "--broker-ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Authorities in PEM that sign the broker's certificate, for this server and robots; else the system's.",
)
@click.option(
    "--broker-certificate",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="This server's own certificate in PEM, for a broker that asks for one; its name (CN) is cloud.",
)
@click.option(
    "--broker-key", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Its private key, in PEM."
)
@click.option(
    "--client-certificates",
    type=click.Choice(["none", "builtin", "command"]),
    default="none",
    show_default=True,
    help="Who signs the certificates that robots get when they enrol: an authority in --data, or --sign-csr.",
)
@click.option(
    "--certificate-days",
    type=click.IntRange(1, 36_000),
    default=authorities.DAYS,
    show_default=True,
    help="How long a robot's certificate counts that the built-in authority signs.",
)
@click.option(
    "--sign-csr",
    type=Command(),
    help="A program that gets a certificate request and gives the chain; $SHALLOP_DEVICE is the common name.",
)
@click.option(
    "--on-credentials",
    type=Command(),
    help="A program to run after the password file or revocation list changed, such as one that reloads the broker.",
)
@click.option("--topic-root", default=DEFAULT_ROOT, show_default=True, help="The root of all topics.")
@click.option(
    "--payload-limit",
    type=click.IntRange(1_000, 1_048_576),
    default=Limits().envelope,
    show_default=True,
    help="Bytes that the broker carries in one message.",
)
@click.option(
    "--content-limit",
    type=click.IntRange(1_000, MAX_CONTENT_BYTES),
    default=Limits().content,
    show_default=True,
    help="Bytes of one file under an opaque schema, such as a map; it does not pass the broker.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def serve(
    data: Path,
    database: str | None,
    listen: tuple[str, int],
    broker: str | None,
    broker_protocol: Protocol,
    embedded_broker: bool,
    broker_listen: tuple[str, int] | None,
    broker_config: Path | None,
    advertise_broker: str | None,
    broker_ca: Path | None,
    broker_certificate: Path | None,
    broker_key: Path | None,
    client_certificates: Literal["none", "builtin", "command"],
    certificate_days: int,
    sign_csr: Sequence[str] | None,
    on_credentials: Sequence[str] | None,
    topic_root: str,
    payload_limit: int,
    content_limit: int,
    log_level: str,
) -> None:
    """Run the cloud: API, store, and the link to the broker.

    \b
    With everything on this machine:
      shallop serve --data ./shallop-data --embedded-broker
    With a broker of your own:
      shallop serve --data /var/lib/shallop --broker mqtts://cloud:PASSWORD@mqtt.example.com
    And with a PostgreSQL that other servers use too:
      shallop serve --database postgresql://shallop@db.example.com/shallop --data ... --broker ...
    """
    if bool(broker) == embedded_broker:
        raise click.UsageError("give either --broker URL or --embedded-broker")
    if embedded_broker and broker_protocol != "3.1.1":
        raise click.UsageError("the embedded broker speaks MQTT 3.1.1")
    if database and embedded_broker:
        raise click.UsageError("servers that share a database share a broker too: give --broker URL")
    if (client_certificates == "command") != bool(sign_csr):
        raise click.UsageError("--client-certificates command and --sign-csr COMMAND belong together")
    if broker and (broker_listen or broker_config):
        raise click.UsageError("--broker-listen and --broker-config belong to --embedded-broker")
    if bool(broker_certificate) != bool(broker_key):
        raise click.UsageError("--broker-certificate and --broker-key belong together")
    if broker_certificate and not (broker or "").startswith("mqtts://"):
        raise click.UsageError("--broker-certificate belongs to a broker with TLS: --broker mqtts://...")
    try:
        topics = Topics(topic_root)
    except TopicError as error:
        raise click.UsageError(str(error)) from None
    _log_to_stderr(log_level)
    os.umask(0o077)  # what the server writes is for its own user
    try:
        settings = server.Settings(
            data=data,
            database=database,
            listen=listen,
            broker=_broker(broker, broker_certificate, broker_key) if broker else None,
            broker_protocol=broker_protocol,
            advertise_broker=advertise_broker,
            broker_ca=broker_ca,
            certificates=server.Certificates(client_certificates, certificate_days, sign_csr or ()),
            on_credentials=on_credentials or (),
            topics=topics,
            limits=Limits(envelope=payload_limit, content=content_limit),
        )
        with (
            signals.stopping() as stop,
            server.run(settings, lambda path: _embedded(path, broker_config, broker_listen, topics)) as running,
        ):
            click.echo(f"shallop serves at {running.url}, with the broker at {running.broker}")
            click.echo("To use it from another terminal:")
            click.echo(f"  export SHALLOP_URL={running.url}")
            if running.token_file is None:
                click.echo("  export SHALLOP_TOKEN=...  the admin.token is in the data directory of the first server")
            else:
                click.echo(f"  export SHALLOP_TOKEN=$(cat {shlex.quote(str(running.token_file.absolute()))})")
            sys.stdout.flush()
            while not stop.wait(0.5):
                if running.failed.is_set():
                    sys.exit(1)
    except errors.StartupError as error:
        raise click.ClickException(str(error)) from None


def _broker(url: str, certificate: Path | None, key: Path | None) -> BrokerUrl:
    """Raises `errors.StartupError` for a certificate that cannot be used."""
    broker = BrokerUrl.parse(url)
    if certificate and key:
        broker = dataclasses.replace(broker, certificate=(certificate, key))
        try:
            broker.context()
        except OSError as error:
            what = f"{certificate} and {key} cannot be used for the broker: {error}"
            raise errors.StartupError(what, "name a certificate and its key, both in PEM") from None
    return broker


@contextlib.contextmanager
def _embedded(
    passwords: Path, config: Path | None, listen: tuple[str, int] | None, topics: Topics
) -> Generator[tuple[str, int]]:
    try:
        from shallop_cloud.bench import embedded
    except ImportError as error:
        why = f"the bench broker is not installed ({error})"
        raise errors.StartupError(why, "pip install 'shallop-cloud[bench]', or give --broker URL") from None
    with embedded.broker(passwords, config, listen, topics) as address:
        yield address


def _log_to_stderr(level: str) -> None:
    """For people on a terminal, as JSON lines elsewhere."""
    number = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}[level]
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    for_people, for_programs = [_harmless, structlog.dev.ConsoleRenderer()], [structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *(for_people if sys.stderr.isatty() else for_programs),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _harmless(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A line as a terminal only shows it: it may quote what devices and clients sent."""
    return {key: words.clean_lines(each) if isinstance(each, str) else each for key, each in event.items()}
