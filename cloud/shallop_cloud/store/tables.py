"""The tables, for SQLite and PostgreSQL alike. Migrations build them; this is what queries are written against.

All texts compare by their bytes. On PostgreSQL a new column of texts says so in its migration: ``COLLATE "C"``.

What the lifecycle allows is enforced here too: the CHECK on a deployment's statuses is made from the protocol's table.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from shallop_protocol import statuses
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import elements


class Time(sa.TypeDecorator[datetime.datetime]):
    """A moment in UTC. SQLite keeps no time zone, so it is put back when a value is read."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime.datetime]:
        """What values are; SQLAlchemy does not tell of a decorated type."""
        return datetime.datetime

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002
        """To UTC."""
        return None if value is None else value.astimezone(datetime.UTC)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002
        """From UTC."""
        if value is None:
            return None
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)


def _status_check() -> str:
    """SQL that holds exactly for the combinations of statuses that occur."""
    cells = ", ".join(sorted(f"'{cell}'" for cell in statuses.STEPS))
    return f"target || '/' || activity || '/' || error IN ({cells})"


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(32), primary_key=True)


def _made() -> sa.Column[datetime.datetime]:
    return sa.Column("created_at", Time, nullable=False)


def _refers(column: str, *, follows: bool = False) -> Any:  # Any: the type of the column that it refers to
    return sa.ForeignKey(column, onupdate="CASCADE" if follows else None)


def _json(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=nullable)


devices = sa.Table(
    "devices",
    metadata,
    _id(),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    _json("labels", nullable=False),
    _made(),
    sa.Column("archived_at", Time),
    # enrolment
    sa.Column("token_hash", sa.String(64), unique=True),
    sa.Column("token_expires_at", Time),
    sa.Column("enrolled_at", Time),
    sa.Column("mqtt_password", sa.String(256)),
    sa.Column("revoked_at", Time),  # until it is enrolled anew
    sa.Column("purged", sa.Boolean, nullable=False, default=False),  # the broker was told to forget it
    # what is desired
    sa.Column("epoch", sa.BigInteger, nullable=False, default=1),
    sa.Column("generation", sa.BigInteger, nullable=False, default=0),
    sa.Column("desired_at", Time),
    sa.Column("desired", sa.String(32)),
    sa.Column("fallback", sa.String(32)),
    sa.Column("tidying", sa.Boolean, nullable=False, default=False),  # it names what is in force already
    sa.Column("published", sa.BigInteger, nullable=False, default=0),
    sa.Column("confirm_s", sa.Integer),  # what its deployments have that say nothing of it
    sa.Column("sealed", sa.BigInteger, nullable=False, default=0),  # under this key list, or a newer one
    # what was last heard
    sa.Column("incarnation", sa.String(64)),
    _json("former", nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False, default=0),
    sa.Column("reported", sa.BigInteger, nullable=False, default=0),
    sa.Column("adopted", sa.String(71)),
    _json("report"),
    sa.Column("reported_at", Time),
    sa.Column("last_heard_at", Time),
    sa.Column("online", sa.Boolean, nullable=False, default=False),
    sa.Column("presence_incarnation", sa.String(64)),
    sa.Column("connection", sa.BigInteger, nullable=False, default=0),
    sa.Column("key_list", sa.BigInteger, nullable=False, default=0),  # the version that it goes by
    sa.Column("stale", sa.Boolean, nullable=False, default=False),  # it says that nothing fresh reaches it
    sa.Column("lagging_since", Time),  # it said so then, or spoke of an order older than the one that was out
    sa.CheckConstraint("desired IS NOT NULL OR fallback IS NULL", name="fallback_beside_desired"),
    sa.CheckConstraint("published <= generation", name="published_is_known"),
    sa.Index("ix_devices_unpublished", "tidying", "id", sqlite_where=sa.text("published < generation"),
             postgresql_where=sa.text("published < generation")),
    sa.Index("ix_devices_out_of_sync", "id", sqlite_where=sa.text("reported <> generation"),
             postgresql_where=sa.text("reported <> generation")),
    # what lists and counts ask for, where it is rare
    sa.Index("ix_devices_created", "created_at"),
    sa.Index("ix_devices_behind", "name", sqlite_where=sa.text("reported <> generation"),
             postgresql_where=sa.text("reported <> generation")),
    sa.Index("ix_devices_archived", "name", sqlite_where=sa.text("archived_at IS NOT NULL"),
             postgresql_where=sa.text("archived_at IS NOT NULL")),
    sa.Index("ix_devices_revoked", "id", sqlite_where=sa.text("revoked_at IS NOT NULL"),
             postgresql_where=sa.text("revoked_at IS NOT NULL")),
    sa.Index("ix_devices_never_heard", "name", sqlite_where=sa.text("last_heard_at IS NULL"),
             postgresql_where=sa.text("last_heard_at IS NULL")),
    sa.Index("ix_devices_offline", "name", sqlite_where=sa.text("online = 0"),
             postgresql_where=sa.text("NOT online")),
    sa.Index("ix_devices_online", "last_heard_at", "online", sqlite_where=sa.text("online = 1"),
             postgresql_where=sa.text("online")),
    sa.Index("ix_devices_lagging", "name", sqlite_where=sa.text("lagging_since IS NOT NULL"),
             postgresql_where=sa.text("lagging_since IS NOT NULL")),
)  # fmt: skip

device_labels = sa.Table(
    "device_labels",
    metadata,
    sa.Column("device_name", _refers("devices.name", follows=True), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(128), nullable=False),
    sa.Index("ix_device_labels_label", "key", "value", "device_name"),
)
"""What a list is narrowed by; the device's row has its labels whole."""

releases = sa.Table(
    "releases",
    metadata,
    _id(),
    sa.Column("version", sa.String(128), nullable=False, unique=True),
    sa.Column("git_commit", sa.String(40)),
    _made(),
    sa.Column("created_by", sa.String(128), nullable=False),
)

config_schemas = sa.Table(
    "config_schemas",
    metadata,
    _id(),
    sa.Column("digest", sa.String(71), nullable=False, unique=True),
    _json("definition", nullable=False),
    _made(),
)

slots = sa.Table(
    "slots",
    metadata,
    sa.Column("release_id", _refers("releases.id"), primary_key=True),
    sa.Column("config_type", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("schema_id", _refers("config_schemas.id"), nullable=False),
    sa.Column("format", sa.String(8), nullable=False),
    sa.Column("path", sa.String(1024), nullable=False),
    sa.Column("required", sa.Boolean, nullable=False),
    sa.UniqueConstraint("release_id", "path"),
)

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("digest", sa.String(71), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("is_text", sa.Boolean, nullable=False),
    sa.Column("is_whole", sa.Boolean, nullable=False),
    sa.Column("uploaded_at", Time),  # by itself, until it is known that a config instance has it
    sa.Index("ix_contents_uploaded", "uploaded_at", sqlite_where=sa.text("uploaded_at IS NOT NULL"),
             postgresql_where=sa.text("uploaded_at IS NOT NULL")),
)  # fmt: skip

content_chunks = sa.Table(
    "content_chunks",
    metadata,
    sa.Column("digest", _refers("contents.digest"), primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

config_instances = sa.Table(
    "config_instances",
    metadata,
    _id(),
    sa.Column("schema_id", _refers("config_schemas.id"), nullable=False),
    sa.Column("config_type", sa.String(64), nullable=False),
    sa.Column("slot", sa.String(64), nullable=False),
    sa.Column("path", sa.String(1024), nullable=False),
    sa.Column("digest", _refers("contents.digest"), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    _made(),
    sa.Index("ix_config_instances_digest", "digest"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    _id(),
    sa.Column("device_id", _refers("devices.id"), nullable=False),
    sa.Column("release_id", _refers("releases.id"), nullable=False),
    sa.Column("description", sa.String(1024), nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("patched_from", _refers("deployments.id")),
    sa.Column("restores", _refers("deployments.id")),  # whose content a rollback brought back
    # what it was staged, or last restaged, against
    sa.Column("base", _refers("deployments.id")),
    sa.Column("base_generation", sa.BigInteger, nullable=False, default=0),
    sa.Column("target", sa.String(16), nullable=False),
    sa.Column("activity", sa.String(16), nullable=False),
    sa.Column("error", sa.String(16), nullable=False),
    _json("reason"),
    sa.Column("attempts", sa.BigInteger, nullable=False, default=0),
    _json("waiting"),
    _json("integrity"),
    sa.Column("confirm_s", sa.Integer),
    sa.Column("ordered", sa.BigInteger, nullable=False, default=0),
    sa.Column("ended", sa.BigInteger, nullable=False, default=0),
    _made(),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("queued_at", Time),
    sa.Column("deployed_at", Time),
    sa.Column("archived_at", Time),
    sa.CheckConstraint(_status_check(), name="statuses_occur"),
    sa.Index("ix_deployments_created", "created_at", "id"),
    sa.Index("ix_deployments_device", "device_id", "created_at", "id"),
    sa.Index("ix_deployments_unfinished", "device_id", "activity", sqlite_where=sa.text("activity <> 'archived'"),
             postgresql_where=sa.text("activity <> 'archived'")),
    sa.Index("uq_deployments_waiting", "device_id", "release_id", unique=True,
             sqlite_where=sa.text("activity IN ('staged', 'drifted')"),
             postgresql_where=sa.text("activity IN ('staged', 'drifted')")),
    sa.Index("uq_deployments_wanted", "device_id", "activity", unique=True,
             sqlite_where=sa.text("target = 'deployed'"), postgresql_where=sa.text("target = 'deployed'")),
)  # fmt: skip
"""Of a device, one deployment waits on each release; one is wanted that is not confirmed, and one that is in force."""

merged_status = sa.case(
    (deployments.c.error == sa.literal_column("'none'"), deployments.c.activity), else_=deployments.c.error
)
"""The one word that people see, as ``statuses.merge`` gives it; written with literals, so that an index can hold it."""

_grouped: Any = elements.Grouping(merged_status)  # PostgreSQL takes an expression in parentheses only
sa.Index("ix_deployments_status", _grouped, deployments.c.created_at, deployments.c.id)
sa.Index("ix_deployments_release", deployments.c.release_id, _grouped, deployments.c.created_at, deployments.c.id)
sa.Index(
    "ix_deployments_in_error",
    deployments.c.error,
    sqlite_where=sa.text("error <> 'none' AND activity <> 'archived'"),
    postgresql_where=sa.text("error <> 'none' AND activity <> 'archived'"),
)

status_moves = sa.Table(
    "status_moves",
    metadata,
    sa.Column("before", sa.String(64), primary_key=True),
    sa.Column("after", sa.String(64), primary_key=True),
)
"""What ``statuses.may_become`` says, for the trigger that refuses every other change of a deployment's statuses."""

deployment_instances = sa.Table(
    "deployment_instances",
    metadata,
    sa.Column("deployment_id", _refers("deployments.id"), primary_key=True),
    sa.Column("instance_id", _refers("config_instances.id"), primary_key=True),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", Time, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("device_id", _refers("devices.id")),
    sa.Column("deployment_id", _refers("deployments.id")),
    sa.Column("release_id", _refers("releases.id")),
    sa.Column("device_time", Time),
    _json("before"),
    _json("after"),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("ix_history_device", "device_id", "id"),
    sa.Index("ix_history_deployment", "deployment_id", "id"),
    sqlite_autoincrement=True,
)

history_head = sa.Table(
    "history_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.CheckConstraint("id = 1", name="only_one"),
)
"""How long the chain of the history is, and its last hash. Who holds this row is the one who appends."""

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    _id(),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    _made(),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("revoked_at", Time),
    sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role_is_known"),
    sa.Index("uq_api_tokens_name", "name", unique=True,
             sqlite_where=sa.text("revoked_at IS NULL"), postgresql_where=sa.text("revoked_at IS NULL")),
)  # fmt: skip

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("token_id", _refers("api_tokens.id"), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _made(),
    sa.Index("ix_idempotency_keys_created", "created_at"),
)
"""What was answered to a request that may be repeated, written in the transaction of what it did."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),  # since 1970, by the database's clock
    sa.Column("connected", sa.Boolean, nullable=False),
)
"""Which server does what only one may do, and whether it is connected to the broker."""

key_list = sa.Table(
    "key_list",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _json("roots", nullable=False),
    sa.Column("threshold", sa.Integer, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("changed_at", Time, nullable=False),
    sa.CheckConstraint("id = 1", name="only_one"),
)
"""Whose orders count, as the roots signed it. Private halves are files, and nothing of them is here."""

certificate_authority = sa.Table(
    "certificate_authority",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("certificate", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="only_one"),
)
"""Who signs robots' certificates, in PEM, if the fleet has its own authority. Its key is in the data directory."""

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("serial", sa.String(40), primary_key=True),
    sa.Column("device_id", _refers("devices.id"), nullable=False),
    sa.Column("chain", sa.Text, nullable=False),
    sa.Column("key_digest", sa.String(71), nullable=False),
    sa.Column("issued_at", Time, nullable=False),
    sa.Column("expires_at", Time, nullable=False),
    sa.Column("revoked_at", Time),
    sa.Index("uq_certificates_in_force", "device_id", unique=True,
             sqlite_where=sa.text("revoked_at IS NULL"), postgresql_where=sa.text("revoked_at IS NULL")),
    sa.Index("ix_certificates_revoked", "expires_at", sqlite_where=sa.text("revoked_at IS NOT NULL"),
             postgresql_where=sa.text("revoked_at IS NOT NULL")),
)  # fmt: skip
"""Robots' client certificates. A device has one in force at most; the serial number is in lower-case hex."""
