"""The file that says who the simulated robots are."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import keys_world
import pytest
from shallop_cloud.bench.simulated.roster import Broker, Roster, RosterError, Seat, Trust
from shallop_device import testing

TRUST = keys_world.trust(testing.Shore().signer.key)
ROSTER = Roster(
    broker=Broker("mqtt://127.0.0.1:1883", "5", "fleet/v1", "cloud", "secret"),
    trust=TRUST,
    robots=tuple(Seat(f"DEV-000000000000000{number}", f"amr-{number}", f"word-{number}") for number in range(5)),
    connections="own",
)


def test_what_is_written_is_read_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "roster.json"
    ROSTER.write(path)
    assert Roster.read(path) == ROSTER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" not in repr(ROSTER)
    assert "word-1" not in repr(ROSTER)


def test_what_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "roster.json"
    robots = [{"id": "DEV-0000000000000000", "name": "amr-0"}]
    trust = dataclasses.asdict(TRUST)
    path.write_text(json.dumps({"broker": {"url": "mqtt://h"}, "trust": trust, "robots": robots}))
    assert Roster.read(path) == Roster(Broker("mqtt://h"), TRUST, (Seat("DEV-0000000000000000", "amr-0"),))


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7])
def test_the_same_robots_for_several_processes(parts: int) -> None:
    shares = ROSTER.split(parts)
    assert len(shares) == min(parts, 5)
    seats = [seat for share in shares for seat in share.robots]
    assert sorted(seats, key=lambda seat: seat.name) == list(ROSTER.robots)
    assert all(dataclasses.replace(share, robots=ROSTER.robots) == ROSTER for share in shares)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robots": [*ROSTER.robots, ROSTER.robots[0]]}, "robot 'amr-0' stands there twice"),
        ({"robots": [Seat("DEV-0000000000000000", "amr-0")]}, "without a password"),
        ({"trust": Trust((), 1, TRUST.key_list)}, "0 root keys"),
        ({"trust": Trust(("short",), 1, TRUST.key_list)}, "public key"),
        ({"trust": Trust((testing.Shore().signer.key.text,), 1, TRUST.key_list)}, "no trusted key"),
        ({"broker": Broker("mqtt://h", topic_root="a//b")}, "topic root"),
        ({"connections": "none"}, "/connections: Input should be 'shared' or 'own'"),
    ],
)
def test_what_is_no_roster(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "roster.json"
    fields = {**dataclasses.asdict(ROSTER), **change}
    path.write_text(json.dumps(fields, default=dataclasses.asdict))
    with pytest.raises(RosterError, match=words) as refused:
        Roster.read(path)
    assert str(path) in str(refused.value)


def test_a_roster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="No such file"):
        Roster.read(tmp_path / "roster.json")
