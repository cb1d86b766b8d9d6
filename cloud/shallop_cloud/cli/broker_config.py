"""``shallop broker config``: configuration for a broker that is not ours."""

from __future__ import annotations

from pathlib import Path

import click
from shallop_protocol.topics import DEFAULT_ROOT, TopicError, Topics

from shallop_cloud.cli import addresses, exits, parameters, words

KINDS = ("mosquitto", "emqx", "nats", "amqtt")
PLAIN, SECURE = ("127.0.0.1", 1883), ("0.0.0.0", 8883)  # noqa: S104  robots are on the network, and TLS is asked for

_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(
    epilog=parameters.example(
        "shallop broker config mosquitto --data ./shallop-data",
        "shallop broker config mosquitto --data ./data --cert host.pem --key host.key",
    )
)
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="That of `shallop serve`."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to write; else in the data directory."
)
@click.option("--listen", type=addresses.Address(), help="For robots.  [default: 127.0.0.1:1883; TLS: 0.0.0.0:8883]")
@click.option("--inner", type=addresses.Address(), help="With TLS: for the cloud.  [default: 127.0.0.1:1883]")
@click.option("--cert", type=_file, help="The broker's certificate, in PEM. With --key, robots speak TLS.")
@click.option("--key", type=_file, help="Its private key.")
@click.option("--ca", type=_file, help="The authority that signs the robots' certificates.")
@click.option("--crl", type=_file, help="Its list of revoked certificates.")
@click.option(
    "--client-certificates",
    is_flag=True,
    help="Robots show a certificate: on mosquitto besides their password, elsewhere in its place.",
)
@click.option("--topic-root", default=DEFAULT_ROOT, show_default=True, help="The root of all topics.")
@click.option("--api", metavar="URL", default="http://127.0.0.1:8080", show_default=True,
              help="The cloud, for a broker that asks it who may connect.")  # fmt: skip
@click.option("--servers", type=click.IntRange(1, 99), default=1, show_default=True, help="Of a cluster of NATS.")
def config(
    kind: str,
    data: Path,
    out: Path | None,
    listen: tuple[str, int] | None,
    inner: tuple[str, int] | None,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    crl: Path | None,
    client_certificates: bool,
    topic_root: str,
    api: str,
    servers: int,
) -> None:
    """Write working configuration for a broker.

    It has accounts, a list of who may say and hear what, limits, and TLS if there is a certificate. What to do next is
    printed. Written anew, it replaces what was there.
    """
    from shallop_cloud import files, passwords
    from shallop_cloud.brokers import kinds, rules

    if bool(cert) != bool(key):
        raise click.UsageError("--cert and --key belong together: the broker needs both for TLS")
    if client_certificates and not (cert and ca):
        raise click.UsageError("--client-certificates needs --ca, who signs them, and --cert and --key, for TLS")
    if crl and not client_certificates:
        raise click.UsageError("--crl belongs to --client-certificates")
    if inner and not cert:
        raise click.UsageError("--inner belongs to --cert: without TLS, --listen is for everyone")
    try:
        topics = Topics(topic_root)
    except TopicError as error:
        raise click.UsageError(str(error)) from None
    tls = None
    if cert and key:
        authority = ca.absolute() if ca and client_certificates else None
        tls = rules.Tls(cert.absolute(), key.absolute(), authority, crl.absolute() if crl else None)
    where = (out or data / "mqtt" / kind).absolute()
    plan = rules.Plan(
        data=data.absolute(),
        out=where,
        topics=topics,
        listen=listen or (SECURE if tls else PLAIN),
        inner=(inner or PLAIN) if tls else None,
        tls=tls,
        api=api.rstrip("/"),
        servers=servers,
    )
    try:
        written = kinds.WRITERS[kind](plan)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan.mqtt.mkdir(mode=0o700, exist_ok=True)
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in written.files.items():
            files.write(where / name, text.encode())
            click.echo(f"wrote {words.clean(str(where / name))}")
    except (rules.PlanError, passwords.PasswordFileError) as error:
        raise exits.Failure(exits.Exit.USAGE, str(error)) from None
    except OSError as error:
        words_ = f"{error.filename}: {error.strerror}: choose a directory that you may write to, with --out"
        raise exits.Failure(exits.Exit.FAILED, words_) from None
    for step in written.steps:
        click.echo(f"\n{step}")
