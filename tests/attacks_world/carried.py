"""A robot without a network, to which orders are carried."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from pathlib import Path

from click.testing import CliRunner, Result
from shallop_device import bundles
from shallop_device.cli import bundle

from attacks_world.people import Robot


@dataclasses.dataclass(frozen=True)
class Carried:
    """A robot without a network, with a deployment in force, and a stick with the next one."""

    robot: Robot
    bundle: bytes
    directory: Path

    def written(self, *, without: str = "-", more: str = "", order: bytes | None = None) -> bytes:
        """The stick's tar with some of it left out, added, or with another order in it."""
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(self.bundle)) as found, tarfile.open(fileobj=out, mode="w") as made:
            for member in found:
                read = found.extractfile(member)
                assert read is not None
                if not member.name.startswith(without):
                    _add(made, member.name, order if order and member.name == bundles.ORDER else read.read())
            if more:
                _add(made, more, b"more")
        return out.getvalue()

    def apply(self, data: bytes) -> Result:
        """What the command does with such a stick."""
        stick = self.directory / "stick"
        stick.write_bytes(data)
        return CliRunner().invoke(bundle.apply_bundle, ["--state", str(self.robot.state), str(stick)])

    def refused(self, data: bytes) -> str:
        """Why it is refused; nothing on the robot is another."""
        files = self.robot.files()
        result = self.apply(data)
        assert isinstance(result.exception, bundles.BadBundle), result.output
        assert self.robot.files() == files
        return str(result.exception)


def _add(made: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    made.addfile(member, io.BytesIO(data))
