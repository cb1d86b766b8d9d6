"""``shallop validate``: manifests, schemas and configs judged on this machine, as the cloud would judge them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shallop_cloud.cli import output, problems, settings, words
from shallop_cloud.cli.parameters import example
from shallop_cloud.cli.settings import Settings

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json
    from shallop_cloud.configs.findings import Finding
    from shallop_cloud.configs.project import Verdict


@click.command(
    epilog=example("shallop validate .\n  shallop validate --release release.yaml --config motion-control=motion.yaml")
)
@click.argument("paths", type=click.Path(path_type=Path, exists=True), nargs=-1, metavar="[PATH]...")
@click.option(
    "--release", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="The manifest that the configs belong to.",
)  # fmt: skip
@click.option("--config", "configs", multiple=True, metavar="TYPE[/SLOT]=FILE", help="A config file to check.")
@settings.offline
def validate(settings: Settings, paths: tuple[Path, ...], release: Path | None, configs: tuple[str, ...]) -> None:
    """Check manifests, schemas and configs without a server.

    PATH is a manifest, a schema, or a directory: then all below it. In a directory configs beside a manifest are
    checked, too: configs/TYPE.yaml, or configs/TYPE/SLOT.yaml for a slot with a name. Ends with 7 if something is
    wrong; -o name prints only the files that are.
    """
    if bool(configs) != bool(release):
        raise click.UsageError("--release and --config belong together")
    if not paths and release is None:
        raise click.UsageError("what is to be checked? Give a directory, such as `shallop validate .`, or files")
    from shallop_cloud.configs import project  # jsonschema is slow to load

    try:
        verdicts = project.check(paths) if paths else []
        if release is not None:
            verdicts += project.check_configs(release, [_chosen(each) for each in configs])
    except project.NothingToCheck as nothing:
        raise click.UsageError(str(nothing)) from None
    _show(verdicts, settings.output)
    if found := _found(verdicts):
        is_told = settings.output in (output.Format.JSON, output.Format.YAML)
        files = _counted(len({finding.file for finding in found}), "file")
        raise problems.invalid(f"{_counted(len(found), 'error')} in {files}", [] if is_told else found)


def _chosen(text: str) -> tuple[str, str, Path]:
    """Config type, slot and file of ``lidar/front=front.yaml``; the slot may be left out."""
    reference, sign, file = text.partition("=")
    config_type, _, slot = reference.partition("/")
    if not config_type or not sign or not file:
        raise click.UsageError(f"{text!r} is not TYPE=FILE or TYPE/SLOT=FILE, such as lidar/front=front.yaml")
    return config_type, slot or "default", Path(file)


def _found(verdicts: Sequence[Verdict]) -> list[Finding]:
    """What is wrong, told once where several files lead to it."""
    return list(dict.fromkeys(finding for verdict in verdicts for finding in verdict.findings))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _show(verdicts: Sequence[Verdict], format_: output.Format) -> None:
    """What is fine on stdout; in JSON and YAML all of it."""
    if format_ in (output.Format.JSON, output.Format.YAML):
        output.show(_json(verdicts), format_, lambda _: None)
        return
    for verdict in verdicts:
        if format_ is output.Format.NAME:
            line = verdict.file if verdict.findings else ""
        elif verdict.is_checked:
            line = "" if verdict.findings else f"{verdict.file}: ok, {verdict.what}"
        else:
            line = f"{verdict.file}: not checked, {verdict.what}"
        if line:
            click.echo(words.clean(line))


def _json(verdicts: Sequence[Verdict]) -> Json:
    return {
        "valid": not any(verdict.findings for verdict in verdicts),
        "files": [
            {"file": each.file, "what": each.what, "checked": each.is_checked, "valid": not each.findings}
            for each in verdicts
        ],
        "errors": [
            {
                "message": finding.message,
                "pointer": finding.pointer,
                "source": finding.file,
                "line": finding.line,
                "column": finding.column,
            }
            for finding in _found(verdicts)
        ],
    }
