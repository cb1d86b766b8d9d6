"""The first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
    )
    op.create_table(
        "config_schemas",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_schemas")),
        sa.UniqueConstraint("digest", name=op.f("uq_config_schemas_digest")),
    )
    op.create_table(
        "contents",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_contents")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mqtt_password", sa.String(length=256), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("desired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("desired", sa.String(length=32), nullable=True),
        sa.Column("fallback", sa.String(length=32), nullable=True),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=True),
        sa.Column("former", sa.JSON(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reported", sa.BigInteger(), nullable=False),
        sa.Column("adopted", sa.String(length=71), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("presence_incarnation", sa.String(length=64), nullable=True),
        sa.Column("connection", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("desired IS NOT NULL OR fallback IS NULL", name=op.f("ck_devices_fallback_beside_desired")),
        sa.CheckConstraint("published <= generation", name=op.f("ck_devices_published_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("name", name=op.f("uq_devices_name")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_devices_token_hash")),
    )
    op.create_index(
        "ix_devices_out_of_sync",
        "devices",
        ["id"],
        unique=False,
        sqlite_where=sa.text("reported <> generation"),
        postgresql_where=sa.text("reported <> generation"),
    )
    op.create_index(
        "ix_devices_unpublished",
        "devices",
        ["id"],
        unique=False,
        sqlite_where=sa.text("published < generation"),
        postgresql_where=sa.text("published < generation"),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.Column("git_commit", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("version", name=op.f("uq_releases_version")),
    )
    op.create_table(
        "config_instances",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("schema_id", sa.String(length=32), nullable=False),
        sa.Column("config_type", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["contents.digest"], name=op.f("fk_config_instances_digest")),
        sa.ForeignKeyConstraint(["schema_id"], ["config_schemas.id"], name=op.f("fk_config_instances_schema_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_instances")),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("release_id", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("patched_from", sa.String(length=32), nullable=True),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("activity", sa.String(length=16), nullable=False),
        sa.Column("error", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("ordered", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "target || '/' || activity || '/' || error IN ('archived/archived/failed', 'archived/archived/none', 'archived/deployed/failed', 'archived/deployed/none', 'archived/deployed/retrying', 'archived/queued/failed', 'archived/queued/none', 'archived/queued/retrying', 'archived/removing/failed', 'archived/removing/none', 'archived/removing/retrying', 'deployed/deployed/none', 'deployed/deployed/retrying', 'deployed/queued/none', 'deployed/queued/retrying', 'staged/drifted/none', 'staged/staged/none')",
            name=op.f("ck_deployments_statuses_occur"),
        ),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_deployments_device_id")),
        sa.ForeignKeyConstraint(["patched_from"], ["deployments.id"], name=op.f("fk_deployments_patched_from")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_deployments_release_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    op.create_index("ix_deployments_created", "deployments", ["created_at", "id"], unique=False)
    op.create_index("ix_deployments_device", "deployments", ["device_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_deployments_unfinished",
        "deployments",
        ["device_id"],
        unique=False,
        sqlite_where=sa.text("activity <> 'archived'"),
        postgresql_where=sa.text("activity <> 'archived'"),
    )
    op.create_index(
        "uq_deployments_waiting",
        "deployments",
        ["device_id", "release_id"],
        unique=True,
        sqlite_where=sa.text("activity IN ('staged', 'drifted')"),
        postgresql_where=sa.text("activity IN ('staged', 'drifted')"),
    )
    op.create_table(
        "slots",
        sa.Column("release_id", sa.String(length=32), nullable=False),
        sa.Column("config_type", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("schema_id", sa.String(length=32), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_slots_release_id")),
        sa.ForeignKeyConstraint(["schema_id"], ["config_schemas.id"], name=op.f("fk_slots_schema_id")),
        sa.PrimaryKeyConstraint("release_id", "config_type", "key", name=op.f("pk_slots")),
        sa.UniqueConstraint("release_id", "path", name=op.f("uq_slots_release_id_path")),
    )
    op.create_table(
        "deployment_instances",
        sa.Column("deployment_id", sa.String(length=32), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_instances_deployment_id")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["config_instances.id"], name=op.f("fk_deployment_instances_instance_id")
        ),
        sa.PrimaryKeyConstraint("deployment_id", "instance_id", name=op.f("pk_deployment_instances")),
    )
    op.create_table(
        "history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("deployment_id", sa.String(length=32), nullable=True),
        sa.Column("release_id", sa.String(length=32), nullable=True),
        sa.Column("device_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_history_deployment_id")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_history_device_id")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_history_release_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_history_deployment", "history", ["deployment_id", "id"], unique=False)
    op.create_index("ix_history_device", "history", ["device_id", "id"], unique=False)
