"""The keys of one run: what the operator and the holder of the root do with them, and what an attacker gets hold of.

The lists are kept where the cloud's database is not, as a careful operator keeps them: a cloud that was put back to an
earlier copy is given the newest list again at once.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib

from shallop_protocol import dsse, keys, trust

KEPT = 4
"""Keys that a list names; older ones are left out of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Leaked:
    """What an attacker can sign with, and the epoch in which it could."""

    signer: dsse.Signer
    epoch: int

    def counts_by(self, listed: keys.KeyList) -> bool:
        """Whether what is signed so is to be obeyed by this list."""
        return self.signer.key.keyid in listed.active and self.epoch == listed.epoch


class KeyRing:
    """The signing keys and the newest list.

    Attributes:
        listed: the newest key list; ``envelope`` the bytes by which it travels, ``former`` those of the earlier ones.
        signers: whose private halves the cloud signs with.
        leaked: each key with each epoch in which it signed. Assume that all of them get out.
    """

    def __init__(self, issued_at: datetime.datetime) -> None:
        self._root = _signer("root")
        self._roots = keys.Roots((self._root.key,))
        self._issued_at = issued_at
        self._made = 0
        self.former: list[bytes] = []
        self.signers: tuple[dsse.Signer, ...] = (self._fresh(),)
        self._publish(keys.KeyList(version=1, epoch=1, issued_at=issued_at, signing_keys=(_active(self.signers[0]),)))
        self.leaked = [Leaked(self.signers[0], 1)]

    def rotate(self) -> None:
        """A new key signs beside the newest one; what signed before that is retired."""
        self._succeed(self.signers[-1:], keys.KeyState.RETIRED, self.listed.epoch)

    def revoke(self) -> None:
        """A new key takes the place of all others, in a new epoch."""
        self._succeed((), keys.KeyState.REVOKED, self.listed.epoch + 1)

    def begin_epoch(self) -> None:
        """The same keys go on in a new epoch."""
        self._publish(
            self.listed.model_copy(update={"version": self.listed.version + 1, "epoch": self.listed.epoch + 1})
        )
        self.leaked += [Leaked(signer, self.listed.epoch) for signer in self.signers]

    def pinned(self, device: str, floor: tuple[int, int]) -> trust.Trust:
        """What a device that is enrolled now goes by."""
        return trust.Trust(device, self._roots, self.listed, floor)

    def forgers(self, listed: keys.KeyList) -> list[Leaked]:
        """What leaked and must be of no use against a device that has seen this list, or the newest."""
        lists = (listed, self.listed)
        return [each for each in self.leaked if not any(each.counts_by(known) for known in lists)]

    def _succeed(self, kept: tuple[dsse.Signer, ...], state: keys.KeyState, epoch: int) -> None:
        self.signers = (*kept, self._fresh())
        staying = {signer.key.text for signer in kept}
        known = [
            each
            if each.key in staying or each.state is not keys.KeyState.ACTIVE
            else each.model_copy(update={"state": state})
            for each in self.listed.signing_keys
        ]
        version = self.listed.version + 1
        entries = (*known[-KEPT:], _active(self.signers[-1]))
        self._publish(keys.KeyList(version=version, epoch=epoch, issued_at=self._issued_at, signing_keys=entries))
        self.leaked += [Leaked(signer, epoch) for signer in self.signers]

    def _publish(self, listed: keys.KeyList) -> None:
        if listed.version > 1:
            self.former.append(self.envelope)
        self.listed = listed
        self.envelope = keys.seal_key_list(listed, [self._root])

    def _fresh(self) -> dsse.Signer:
        self._made += 1
        return _signer(f"signing key {self._made}")


def _active(signer: dsse.Signer) -> keys.SigningKey:
    return keys.SigningKey(key=signer.key.text, state=keys.KeyState.ACTIVE)


def _signer(name: str) -> dsse.Signer:
    """The same name gives the same key, so that a run can be repeated."""
    return dsse.signer_from_seed(hashlib.sha256(name.encode()).digest())
