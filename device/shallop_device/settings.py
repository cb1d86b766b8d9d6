"""What the robot's owner may set: one TOML file, the environment, the options of a command; each key in one place.

A later source goes before an earlier one: the defaults, the file, the environment (``SHALLOPD_<SECTION>_<KEY>``), an
option. The file is read by the standard library and checked by pydantic, without pydantic-settings: that would cost
every robot 6 MB of memory, and could not say where a value comes from.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pydantic

from shallop_device import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_FILE = Path("/etc/shallop/shallopd.toml")
"""Read if it is there and no other was named."""
PREFIX = "SHALLOPD_"
METERED = {"keepalive_s": 1200, "heartbeat_s": 86_400.0}
"""What ``profile = "metered"`` sets, unless the key is given: docs/performance.md has the bytes."""

Seconds = Annotated[float, pydantic.Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


def _argv(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _is_command(argv: tuple[str, ...]) -> tuple[str, ...]:
    if argv and not argv[0].startswith("/"):
        raise ValueError("the program has to be an absolute path, as in /usr/local/lib/robot/check")
    return argv


def _is_absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("it has to be an absolute path")
    return path


Argv = Annotated[tuple[str, ...], pydantic.BeforeValidator(_argv), pydantic.AfterValidator(_is_command)]
AbsolutePath = Annotated[Path, pydantic.AfterValidator(_is_absolute)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:  # Any: whatever a file has in this place
        """TOML has no null: "" and 0 say None where that is the default."""
        if not isinstance(given, dict):
            return given
        said = cast("dict[str, Any]", given)
        off = {key for key, field in cls.model_fields.items() if field.default is None}
        return {key: None if key in off and value in ("", 0, "0") else value for key, value in said.items()}


class Log(_Section):
    """What is logged.

    Attributes:
        level: from which one upwards.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


class Link(_Section):
    """The connection to the broker.

    Attributes:
        profile: ``metered`` makes traffic rarer where it is paid for.
        heartbeat_s: after so long the report is sent again though nothing changed.
        presence_s: after so long the robot says again that it is there. The cloud calls one silent that said nothing
            for two and a half hours.
        keepalive_s: the longest silence on the connection.
        ca: file of the authorities, in PEM, that the broker's and the cloud's certificate may come from; None for those
            that the enrolment brought, or the system's.
        client_certificate: in PEM, for a broker that asks for one; ``client_key`` belongs to it.
        send_password: whether the broker is told the robot's password; False for one that goes by certificates alone
            and refuses whoever sends a password, such as NATS.
        protocol: of MQTT, instead of what the cloud said at the enrolment.
    """

    profile: Literal["standard", "metered"] = "standard"
    heartbeat_s: Annotated[Seconds, pydantic.Field(ge=1)] = 21_600.0
    presence_s: Annotated[Seconds, pydantic.Field(ge=1)] = 3600.0
    keepalive_s: Annotated[int, pydantic.Field(ge=5, le=65_535)] = 30
    ca: AbsolutePath | None = None
    client_certificate: AbsolutePath | None = None
    client_key: AbsolutePath | None = None
    send_password: bool = True
    protocol: Literal["3.1.1", "5"] | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_profile(cls, given: Any) -> Any:  # Any: whatever a file has in this place
        if not isinstance(given, dict):
            return given
        said = cast("dict[str, Any]", given)
        return {**METERED, **said} if said.get("profile") == "metered" else said

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> Link:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key are set together, or neither")
        return self


class Retry(_Section):
    """Waits after a failure: a random part of a ceiling that begins with ``first_s`` and doubles up to ``cap_s``."""

    first_s: Seconds = 1.0
    cap_s: Seconds = 300.0


class Hooks(_Section):
    """Programs of the robot's owner, each a path or a list of a path and its arguments; empty for none.

    Attributes:
        check: may refuse a deployment before it comes into sight.
        applied: lets robot software take up what came into sight.
        health: says whether the robot is well with it.
        timeout_s: after so long a hook is killed, with its children.
        user: whose rights it gets; None for the agent's own.
        output_bytes: so much of the end of what it says is kept.
    """

    check: Argv = ()
    applied: Argv = ()
    health: Argv = ()
    timeout_s: Seconds = 30.0
    user: Annotated[str, pydantic.Field(min_length=1)] | None = None
    output_bytes: Annotated[int, pydantic.Field(ge=0, le=65_536)] = 4096


class Health(_Section):
    """When a deployment is well.

    Attributes:
        window_s: so long after it came into sight it must be.
        interval_s: between two looks of the hook ``health``.
        passes: so many in a row must be good.
        acks: names of robot software that must have acknowledged it.
    """

    window_s: Seconds = 60.0
    interval_s: Seconds = 2.0
    passes: Annotated[int, pydantic.Field(ge=1, le=1000)] = 3
    acks: frozenset[Name] = frozenset()


class Confirm(_Section):
    """Whether the cloud must answer before a deployment counts as in force.

    Attributes:
        within_s: it must within so long, or the fallback returns; None if it need not. An order may say otherwise.
    """

    within_s: Seconds | None = None


class Holds(_Section):
    """How robot software may say "not now".

    Attributes:
        longest_s: no hold may be asked for longer.
    """

    longest_s: Seconds = 3600.0


class Integrity(_Section):
    """What is done about files in force that are not what was written.

    Attributes:
        mode: ``heal`` writes them anew, ``report`` only tells the cloud.
        watch: the kernel tells of changes at once (inotify).
        every_s: so often they are read back, watched or not.
    """

    mode: Literal["heal", "report"] = "heal"
    watch: bool = True
    every_s: Seconds = 900.0


class Door(_Section):
    """The socket at which robot software asks and tells: docs/local-door.md.

    Attributes:
        path: None for ``shallopd.sock`` in the state directory.
        group: who may use it beside the agent's user; None for its own group.
    """

    enabled: bool = True
    path: AbsolutePath | None = None
    group: Annotated[str, pydantic.Field(min_length=1)] | None = None


class Content(_Section):
    """Contents that are fetched from the cloud.

    Attributes:
        budget_bytes_per_hour: no more than this; None for no limit.
    """

    budget_bytes_per_hour: Annotated[int, pydantic.Field(ge=65_536)] | None = None


class Freshness(_Section):
    """When the robot says that it is stale. That changes nothing but what it says.

    Attributes:
        stale_after_s: after so many seconds of running without a proof that it has the cloud's newest order; None for
            two and a half heartbeats.
    """

    stale_after_s: Annotated[Seconds, pydantic.Field(ge=60)] | None = None


def _is_below(target: str) -> str:
    parts = target.split("/")
    if target.startswith("/") or "" in parts or ".." in parts:
        raise ValueError("the target is a path below current/, as in nav2/params.yaml")
    return target


class Settings(_Section):
    """All of it. A value for each key, checked.

    Attributes:
        state: the directory of the agent's own state.
        links: where robot software insists on another path: a symbolic link at this absolute path, and what it leads to
            below ``current/``.
    """

    state: AbsolutePath = Path("/var/lib/shallop")
    log: Log = Log()
    link: Link = Link()
    retry: Retry = Retry()
    hooks: Hooks = Hooks()
    health: Health = Health()
    confirm: Confirm = Confirm()
    holds: Holds = Holds()
    freshness: Freshness = Freshness()
    integrity: Integrity = Integrity()
    door: Door = Door()
    content: Content = Content()
    links: dict[AbsolutePath, Annotated[str, pydantic.AfterValidator(_is_below)]] = {}

    @property
    def door_path(self) -> Path:
        """Where the door's socket is."""
        return self.door.path or self.state / "shallopd.sock"


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key that was given, as ``section.key``, where."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, object, str]]:
        """Each key, its value as JSON has it, and where that comes from."""
        for name, value in self.settings.model_dump(mode="json").items():
            if name in SECTIONS:
                for key, one in value.items():
                    yield f"{name}.{key}", one, self._origin(name, key)
            else:
                yield name, value, self.origins.get(name, "default")

    def _origin(self, section: str, key: str) -> str:
        is_by_profile = section == "link" and key in METERED and self.settings.link.profile == "metered"
        return self.origins.get(f"{section}.{key}", "profile" if is_by_profile else "default")


def load(
    file: Path | None, environment: Mapping[str, str] = os.environ, options: Mapping[str, object] | None = None
) -> Loaded:
    """What all sources say together.

    Args:
        file: must be there if it is named; None for ``DEFAULT_FILE``, which need not.
        options: what the command line says, by ``section.key``; None for what it does not.

    Raises:
        errors.BadUsage: a source cannot be read, has a key that is none, or a bad value. All of them are told.
    """
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    if path is not None:
        given = _read(path, origins)
    _overlay(given, origins, _of_environment(environment))
    said = {key: value for key, value in (options or {}).items() if value is not None}
    _overlay(given, origins, {key: (value, "the command line") for key, value in said.items()})
    try:
        return Loaded(Settings.model_validate(given), origins)
    except pydantic.ValidationError as error:
        raise errors.BadUsage("\n".join(_told(error, origins))) from None


def _read(path: Path, origins: dict[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.BadUsage(f"cannot read the settings {path}: {error}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and nesting, too
        raise errors.BadUsage(f"{path} is not TOML: {error}") from None
    lines = _lines(text)
    for name, value in given.items():
        origins[name] = _place(path, lines.get(name))
        if isinstance(value, dict):
            keys = [f"{name}.{key}" for key in cast("dict[str, Any]", value)]
            origins.update({key: _place(path, lines.get(key)) for key in keys})
    return given


def _place(path: Path, line: int | None) -> str:
    return f"{path}:{line}" if line else str(path)


_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_-]+)\s*\]")
_KEY = re.compile(r"""^\s*(?:([A-Za-z0-9_-]+)|"([^"]*)"|'([^']*)')\s*(?:\.\s*([A-Za-z0-9_-]+)\s*)?=""")


def _lines(text: str) -> dict[str, int]:
    """The line of each key, as far as one can tell without a parser that keeps them: tomllib keeps none."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = header[1]
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            name = next(part for part in key.groups()[:3] if part is not None)
            parts = [part for part in (section, name, key[4]) if part]
            found.setdefault(".".join(parts), number)
    return found


def _of_environment(environment: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    """What the environment says, of the sections that there are; other variables belong to the commands' options."""
    found: dict[str, tuple[object, str]] = {}
    for variable, text in sorted(environment.items()):
        section, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        if not variable.startswith(PREFIX) or not text:
            continue
        if section == "state" and not key:
            found["state"] = (text, f"the environment, {variable}")
        elif section in SECTIONS and key:
            found[f"{section}.{key}"] = (_of_text(f"{section}.{key}", text), f"the environment, {variable}")
    return found


def _of_text(name: str, text: str) -> object:
    """A list is written as JSON; names may stand with commas between them."""
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [part.strip() for part in text.split(",")] if name == "health.acks" else text


def _overlay(given: dict[str, Any], origins: dict[str, str], more: Mapping[str, tuple[object, str]]) -> None:
    for name, (value, origin) in more.items():
        section, _, key = name.partition(".")
        if not key:
            given[section] = value
        elif isinstance(given.setdefault(section, {}), dict):
            given[section] = {**given[section], key: value}
        origins[name] = origin


SECTIONS: Mapping[str, type[_Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
}
"""The sections by their names; ``links`` is none: its keys are paths."""


def _told(error: pydantic.ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for each in error.errors(include_url=False):
        place = [str(part) for part in each["loc"]]
        section, key = place[0], place[1] if len(place) > 1 else ""
        origin = origins.get(f"{section}.{key}") or origins.get(section, "the settings")
        name = f"[{section}] {key}" if key else section
        if each["type"] == "extra_forbidden":
            yield f"{origin}: {name} is not a key of the settings{_advice(section, key)}"
        else:
            words = each["msg"].removeprefix("Value error, ")
            value = each["input"]
            shown = f" = {value!r}" if isinstance(value, str | int | float | bool) else ""
            yield f"{origin}: {name}{shown}: {words[:1].lower()}{words[1:]}"


def _advice(section: str, key: str) -> str:
    known = list(SECTIONS[section].model_fields) if key and section in SECTIONS else list(Settings.model_fields)
    close = difflib.get_close_matches(key or section, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
