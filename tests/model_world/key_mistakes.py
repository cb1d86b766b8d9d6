"""Mistakes of a robot about whom it believes, to be put in the place of what is right."""

from __future__ import annotations

from shallop_device import orders
from shallop_protocol import desired, errors, keys, trust


def obeys_every_listed_key(believed: trust.Trust, data: bytes) -> desired.Desired:
    """For ``Trust.order``: retired and revoked keys count as well."""
    known = {each.public.keyid: each.public for each in believed.listed.signing_keys}
    order = desired.open_desired(data, known, believed.device)
    if order.epoch != believed.listed.epoch:
        raise errors.WrongEpoch("of another epoch")
    return order


def obeys_every_epoch(believed: trust.Trust, data: bytes) -> desired.Desired:
    """For ``Trust.order``."""
    return desired.open_desired(data, believed.listed.active, believed.device)


def takes_every_list(_known: keys.KeyList, _new: keys.KeyList) -> None:
    """For ``keys.check_successor``."""


def forgets_what_it_refused(judge: orders.Judge, renewal: orders.Renewal) -> None:
    """For ``Judge.adopt``."""
    judge._trust = renewal.trust


def follows_nothing(_judge: orders.Judge, _data: bytes) -> None:
    """For ``Judge.renewal``."""
