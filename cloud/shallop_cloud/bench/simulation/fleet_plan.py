"""A plan for a fleet, as its operators write it down: how many robots, how good their links are, and which waves.

::

    robots: 200
    hours: 24
    links: {offline: 10%, outage: 20m}
    waves:
      - {at: 10m, robots: 10%, deploy: good}
      - {at: 2h, robots: 10%-100%, deploy: fails on 2%}
      - {at: 20h, robots: [7, 9], archive: true}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pydantic

from shallop_cloud.configs import findings, yaml12

MAX_ROBOTS = 2_000
MAX_HOURS = 24.0 * 31
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h|d)\Z")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)%\Z")
_DEPLOY = re.compile(r"fails on (\S+)\Z")


class PlanError(ValueError):
    """A file that is no plan; the message says what and where."""


def _seconds(value: object) -> float:
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no duration: write 30s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def _share(value: object) -> float:
    found = _PERCENT.match(value) if isinstance(value, str) else None
    if found is None or not 0 <= float(found[1]) <= 100:
        raise ValueError(f"{value!r} is no percentage: write 10%")
    return float(found[1]) / 100.0


def _bad_share(value: object) -> float:
    if value == "good":
        return 0.0
    found = _DEPLOY.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r}: write good, or fails on 2%")
    return _share(found[1])


Seconds = Annotated[float, pydantic.BeforeValidator(_seconds)]
Share = Annotated[float, pydantic.BeforeValidator(_share)]
Bad = Annotated[float, pydantic.BeforeValidator(_bad_share)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Links(_Part):
    """How good the robots' links are: the share of time that each is offline, and how long an outage is on average."""

    offline: Annotated[Share, pydantic.Field(lt=1.0)] = 0.0
    outage: Annotated[Seconds, pydantic.Field(gt=0.0)] = 600.0


class Wave(_Part):
    """One act on some of the robots.

    Attributes:
        robots: ``all``, ``10%`` (the first tenth of the fleet), ``10%-50%``, or a list of numbers from 1.
        deploy: the share of robots that cannot run it; None for a wave that takes off what is in force.
    """

    at: Seconds
    robots: str | tuple[Annotated[int, pydantic.Field(ge=1)], ...] = "all"
    deploy: Bad | None = None
    archive: bool = False

    @pydantic.model_validator(mode="after")
    def _is_one_thing(self) -> Wave:
        if (self.deploy is not None) == self.archive:
            raise ValueError("a wave says either deploy or archive: true")
        return self


class Plan(_Part):
    """The whole of it. ``hours`` of virtual time are simulated."""

    robots: Annotated[int, pydantic.Field(ge=1, le=MAX_ROBOTS)]
    hours: Annotated[float, pydantic.Field(gt=0.0, le=MAX_HOURS)] = 24.0
    links: Links = Links()
    waves: Annotated[tuple[Wave, ...], pydantic.Field(min_length=1, max_length=100)]

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Plan:
        for wave in self.waves:
            if wave.at >= self.hours * 3600.0:
                raise ValueError(f"a wave at {wave.at:.0f} s begins after the {self.hours:g} hours of the plan")
            self.chosen(wave)
        return self

    def chosen(self, wave: Wave) -> tuple[int, ...]:
        """The numbers of the robots of a wave.

        Raises:
            ValueError: it names robots that are not there, or none.
        """
        if isinstance(wave.robots, tuple):
            if beyond := [number for number in wave.robots if number > self.robots]:
                raise ValueError(f"there is no robot {beyond[0]}: the fleet has {self.robots}")
            return tuple(dict.fromkeys(wave.robots))
        if wave.robots == "all":
            return tuple(range(1, self.robots + 1))
        low, dash, high = wave.robots.partition("-")
        first, last = (_share(low), _share(high)) if dash else (0.0, _share(low))
        chosen = tuple(range(round(first * self.robots) + 1, round(last * self.robots) + 1))
        if not chosen:
            raise ValueError(f"{wave.robots!r} of {self.robots} robots is none")
        return chosen


def load(file: Path) -> Plan:
    """The plan in a YAML file.

    Raises:
        PlanError: it cannot be read, or is no plan.
    """
    try:
        value, _ = yaml12.load(file.read_text(encoding="utf-8"))
        return Plan.model_validate(value)
    except OSError as error:
        raise PlanError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{file} is not UTF-8 text") from None
    except findings.Refused as refused:
        lines = [f"{file}:{found.line}:{found.column}: {found.message}" for found in refused.findings]
        raise PlanError("\n".join(lines)) from None
    except pydantic.ValidationError as error:
        raise PlanError("\n".join(f"{file} {_place(found)}" for found in error.errors(include_url=False))) from None


def _place(found: Any) -> str:
    words = str(found["msg"]).removeprefix("Value error, ")
    return f"/{'/'.join(str(part) for part in found['loc'] if isinstance(part, int) or part.islower())}: {words}"
