"""The lease of the link: of all servers of a database, one at a time may speak to the fleet."""

from __future__ import annotations

import dataclasses
import secrets
import socket
import time

from shallop_cloud.store import leases
from shallop_cloud.store.database import Database

MARGIN_S = 0.2
"""A holder stops so long before its lease ends, lest its clock runs a little slower than the database's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """For how long a lease is taken, and how often it is renewed or tried for. In seconds."""

    lifetime: float
    renew_every: float
    try_every: float


SHARED = Terms(lifetime=3.0, renew_every=1.0, try_every=0.5)
ALONE = Terms(lifetime=3_600.0, renew_every=600.0, try_every=0.5)
"""For SQLite: its directory has one server, which its lock file sees to, so nobody waits for the lease."""


class Lease:
    """What one server knows of the lease. For one thread, but for ``is_held``.

    Attributes:
        others_connected: whether the server that holds it instead was connected to the broker when last looked.
    """

    def __init__(self, database: Database, terms: Terms | None = None) -> None:
        self._database = database
        self.terms = terms or (SHARED if database.is_shared else ALONE)
        self._holder = f"{socket.gethostname()[:64]}-{secrets.token_hex(4)}" if database.is_shared else "the only one"
        self._until = 0.0
        self.others_connected = False

    @property
    def is_held(self) -> bool:
        """Whether it is ours, at this moment, for sure. By our own monotonic clock: it counts from before the database
        was asked, so it ends here before it does there.
        """
        return time.monotonic() < self._until

    def attempt(self, *, connected: bool) -> bool:
        """Renews the lease, or takes it if nobody has it. Gives whether it is ours.

        Args:
            connected: whether our connection to the broker stands, for the others to know.

        Raises:
            errors.Busy: the database does not say.
        """
        began = time.monotonic()
        if not self.is_held and self.look():
            return False
        lifetime_ms = round(self.terms.lifetime * 1_000)
        with self._database.write() as connection:
            term = leases.take(connection, leases.LINK, self._holder, lifetime_ms, connected=connected)
        self._until = 0.0 if term is None else began + self.terms.lifetime - MARGIN_S
        return term is not None

    def look(self) -> bool:
        """Whether another server has it. Raises as ``attempt`` does."""
        with self._database.read() as connection:
            known = leases.held(connection, leases.LINK)
        self.others_connected = known is not None and known.connected
        return known is not None and known.holder != self._holder

    def release(self) -> None:
        """Lets another have it at once. Raises as ``attempt`` does."""
        self._until = 0.0
        with self._database.write() as connection:
            leases.release(connection, leases.LINK, self._holder)
