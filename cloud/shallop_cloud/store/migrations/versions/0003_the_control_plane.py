"""The control plane: roles, reviews, archived devices, a chained history, and a lifecycle that the database enforces"""

import datetime
import hashlib
import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOVES = {
    "archived/deployed/failed": "archived/archived/failed archived/removing/failed",
    "archived/deployed/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/removing/failed archived/removing/none archived/removing/retrying",
    "archived/deployed/retrying": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/removing/failed archived/removing/none archived/removing/retrying",
    "archived/queued/failed": "archived/archived/failed",
    "archived/queued/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/queued/retrying archived/removing/failed archived/removing/none archived/removing/retrying",
    "archived/queued/retrying": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/removing/failed archived/removing/none archived/removing/retrying",
    "archived/removing/failed": "archived/archived/failed",
    "archived/removing/none": "archived/archived/none archived/removing/retrying",
    "archived/removing/retrying": "archived/archived/none",
    "deployed/deployed/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying",
    "deployed/deployed/retrying": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying",
    "deployed/queued/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/queued/none archived/queued/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying deployed/queued/retrying",
    "deployed/queued/retrying": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/queued/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying",
    "staged/drifted/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/queued/none archived/queued/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying deployed/queued/none deployed/queued/retrying staged/drifted/none staged/staged/none",
    "staged/staged/none": "archived/archived/failed archived/archived/none archived/deployed/failed archived/deployed/none archived/deployed/retrying archived/queued/failed archived/queued/none archived/queued/retrying archived/removing/failed archived/removing/none archived/removing/retrying deployed/deployed/none deployed/deployed/retrying deployed/queued/none deployed/queued/retrying staged/drifted/none staged/staged/none",
}


def upgrade() -> None:
    op.add_column("devices", sa.Column("archived_at", sa.DateTime(timezone=True)))
    _label_devices()
    for name in ("restores", "base"):
        reference = f"CONSTRAINT fk_deployments_{name} REFERENCES deployments (id)"
        op.execute(f"ALTER TABLE deployments ADD COLUMN {name} VARCHAR(32) {reference}")
    op.add_column("deployments", sa.Column("base_generation", sa.BigInteger(), nullable=False, server_default="0"))
    wanted = sa.text("target = 'deployed'")
    op.create_index(
        "uq_deployments_wanted",
        "deployments",
        ["device_id", "activity"],
        unique=True,
        sqlite_where=wanted,
        postgresql_where=wanted,
    )
    _give_tokens_roles()
    op.create_table(
        "idempotency_keys",
        sa.Column("token_id", sa.String(32), sa.ForeignKey("api_tokens.id", name="fk_idempotency_keys_token_id")),
        sa.Column("key", sa.String(255)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_at"])
    _chain_history()
    _refuse_other_moves()


def _label_devices() -> None:
    labels = op.create_table(
        "device_labels",
        sa.Column("device_name", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("device_name", "key", name="pk_device_labels"),
        sa.ForeignKeyConstraint(
            ["device_name"], ["devices.name"], name="fk_device_labels_device_name", onupdate="CASCADE"
        ),
    )
    op.create_index("ix_device_labels_label", "device_labels", ["key", "value", "device_name"])
    devices = sa.table("devices", sa.column("name", sa.String), sa.column("labels", sa.JSON))
    found = op.get_bind().execute(sa.select(devices.c.name, devices.c.labels)).all()
    rows = [{"device_name": name, "key": key, "value": value} for name, given in found for key, value in given.items()]
    op.bulk_insert(labels, rows)


def _give_tokens_roles() -> None:
    """Every token so far could do everything."""
    old = sa.table(
        "api_tokens", sa.column("hash"), sa.column("name"), sa.column("created_at", sa.DateTime(timezone=True))
    )
    rows = op.get_bind().execute(sa.select(old)).mappings().all()
    op.drop_table("api_tokens")
    tokens = op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("hash", name="uq_api_tokens_hash"),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role_is_known"),
    )
    valid = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_api_tokens_name", "api_tokens", ["name"], unique=True, sqlite_where=valid, postgresql_where=valid
    )
    known = {"role": "admin", "created_by": "shallop"}
    op.bulk_insert(tokens, [{**row, **known, "id": _new_id()} for row in rows])


def _new_id() -> str:
    return "TOK-" + "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(16))


def _chain_history() -> None:
    bind = op.get_bind()
    op.add_column("history", sa.Column("hash", sa.String(64), nullable=False, server_default=""))
    history = sa.table(
        "history",
        sa.column("id"),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("actor"),
        sa.column("action"),
        sa.column("device_id"),
        sa.column("deployment_id"),
        sa.column("release_id"),
        sa.column("device_time", sa.DateTime(timezone=True)),
        sa.column("before"),
        sa.column("after"),
        sa.column("hash"),
    )
    column = history.c
    query = sa.select(
        column.id,
        column.at,
        column.actor,
        column.action,
        column.device_id,
        column.deployment_id,
        column.release_id,
        column.device_time,
        sa.cast(column.before, sa.Text),
        sa.cast(column.after, sa.Text),
    ).order_by(column.id)
    last = "0" * 64
    sealed = []
    for key, at, *words, device_time, before, after in bind.execute(query):
        fields = [last, _utc(at), *words, _utc(device_time), before, after]
        last = hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()
        sealed.append({"key": key, "sealed": last})
    if sealed:
        bind.execute(
            history.update().where(column.id == sa.bindparam("key")).values(hash=sa.bindparam("sealed")), sealed
        )
    head = op.create_table(
        "history_head",
        sa.Column("id", sa.Integer(), autoincrement=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_history_head"),
        sa.CheckConstraint("id = 1", name="only_one"),
    )
    op.bulk_insert(head, [{"id": 1, "entries": len(sealed), "hash": last}])
    for act in ("UPDATE", "DELETE"):
        _on_change("history", act, f"history_no_{act.lower()}", "", "history is only ever added to")


def _utc(moment: datetime.datetime | None) -> str | None:
    """SQLite keeps no time zone; what it has is UTC."""
    if moment is None:
        return None
    moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _refuse_other_moves() -> None:
    moves = op.create_table(
        "status_moves",
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("after", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("before", "after", name="pk_status_moves"),
    )
    pairs = [{"before": before, "after": after} for before, words in MOVES.items() for after in words.split()]
    op.bulk_insert(moves, pairs)
    old, new = (f"{row}.target || '/' || {row}.activity || '/' || {row}.error" for row in ("OLD", "NEW"))
    known = f"(SELECT 1 FROM status_moves WHERE before = {old} AND after = {new})"  # noqa: S608
    when = f"{old} <> {new} AND NOT EXISTS {known}"
    _on_change("deployments", "UPDATE", "deployments_move_along", when, "a deployment cannot move from here to there")


def _on_change(table: str, act: str, name: str, when: str, words: str) -> None:
    """A trigger that refuses an act on a row, always or when something holds."""
    of = "" if not when else " OF target, activity, error"
    if op.get_bind().dialect.name == "sqlite":
        condition = f"WHEN {when} " if when else ""
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {act}{of} ON {table} FOR EACH ROW {condition}"
            f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
        )
        return
    body = f"RAISE EXCEPTION '{words}' USING ERRCODE = 'integrity_constraint_violation';"
    if when:
        body = f"IF {when} THEN {body} END IF; RETURN NEW;"
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    op.execute(f"CREATE TRIGGER {name} BEFORE {act}{of} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
