"""What the simulation holds against whom a robot believes: each rule can be broken, and is silent where it is kept."""

from __future__ import annotations

import pytest
from shallop_cloud.bench.simulation.key_ring import KeyRing
from shallop_cloud.bench.simulation.robot import BEGINNING
from shallop_cloud.bench.simulation.trust_checks import TrustChecks
from shallop_cloud.bench.simulation.violation import Violation
from shallop_protocol import desired, dsse, keys

WIRE = "dev-1"


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(BEGINNING)


def _checks(ring: KeyRing, floor: tuple[int, int] = (0, 0)) -> TrustChecks:
    return TrustChecks("robot 1", ring.pinned(WIRE, floor))


def _order(signer: dsse.Signer, epoch: int = 1, generation: int = 1) -> bytes:
    made = desired.Desired(device=WIRE, epoch=epoch, generation=generation, issued_at=BEGINNING, deployment=None)
    return desired.seal_desired(made, signer)


def test_what_keeps_the_rules_passes(ring: KeyRing) -> None:
    checks = _checks(ring, (1, 1))
    checks.remembered(None, _order(ring.signers[0]))
    ring.revoke()
    checks.remembered(ring.envelope, None)
    checks.booted(ring.listed)
    checks.remembered(None, _order(ring.signers[0], 2, 2))
    checks.heard(_order(ring.signers[0], 2, 2))
    checks.rests(lambda: ring.pinned(WIRE, (0, 0)), (2, 2))


def test_a_list_that_goes_back(ring: KeyRing) -> None:
    checks, first = _checks(ring), ring.envelope
    ring.rotate()
    checks.remembered(ring.envelope, None)
    with pytest.raises(Violation, match="key list 1 is taken after 2"):
        checks.remembered(first, None)
    ring.rotate()
    checks.remembered(ring.envelope, None)
    with pytest.raises(Violation, match="key list 3 was taken, and it starts with 1"):
        checks.booted(keys.open_key_list(first, ring.pinned(WIRE, (0, 0)).roots))


def test_an_order_by_a_key_that_does_not_count(ring: KeyRing) -> None:
    checks, stolen = _checks(ring), ring.signers[0]
    ring.revoke()
    checks.remembered(ring.envelope, None)
    with pytest.raises(Violation, match="which key list 2 does not trust"):
        checks.remembered(None, _order(stolen, 2, 9))
    with pytest.raises(Violation, match="an order of epoch 1 is taken, now is epoch 2"):
        checks.remembered(None, _order(ring.signers[0], 1, 9))


def test_an_order_below_the_floor(ring: KeyRing) -> None:
    with pytest.raises(Violation, match=r"order 4 is taken, older than \(1, 5\)"):
        _checks(ring, (1, 5)).remembered(None, _order(ring.signers[0], 1, 4))


def test_an_order_that_counts_and_is_not_obeyed(ring: KeyRing) -> None:
    checks = _checks(ring)
    checks.heard(_order(ring.signers[0], 1, 2))
    with pytest.raises(Violation, match="L7: robot 1: order 2 counts by key list 1, and is not obeyed"):
        checks.rests(lambda: ring.pinned(WIRE, (0, 0)), (1, 1))


def test_what_leaked_is_of_no_use_against_who_knows_the_newest_list(ring: KeyRing) -> None:
    assert ring.forgers(ring.listed) == []
    for change in (ring.rotate, ring.begin_epoch, ring.rotate, ring.revoke):
        change()
        for each in ring.forgers(ring.listed):
            is_active = each.signer.key.keyid in ring.listed.active
            assert not (is_active and each.epoch == ring.listed.epoch)
    assert len(ring.forgers(ring.listed)) >= 4
