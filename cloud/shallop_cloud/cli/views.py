"""How releases, devices, deployments and history look to people."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from shallop_cloud.cli import parameters, tables, words
from shallop_cloud.cli.tables import Id, state

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Json


def releases(page: Json) -> None:
    """A list."""
    now = words.now()
    rows = [
        (
            each["version"],
            Id(each["id"]),
            words.ago(each["created_at"], now),
            ",".join(config_type["name"] for config_type in each["config_types"]),
        )
        for each in page["data"]
    ]
    tables.columns(("VERSION", "ID", "CREATED", "CONFIG TYPES"), rows)


def release(release: Json) -> None:
    """A release, and what belongs to it."""
    tables.fields(
        [
            ("version", release["version"]),
            ("id", release["id"]),
            ("git commit", release["git_commit"] or ""),
            ("created", f"{words.with_age(release['created_at'], words.now())} by {release['created_by']}"),
        ]
    )
    click.echo()
    rows = [
        (
            parameters.Place(each["name"], slot["key"]).place,
            each["format"],
            slot["path"],
            "yes" if slot["required"] else "no",
            Id(each["schema_id"]),
        )
        for each in release["config_types"]
        for slot in each["slots"]
    ]
    tables.columns(("CONFIG TYPE", "FORMAT", "PATH", "REQUIRED", "SCHEMA"), rows)


def devices(page: Json) -> None:
    """A list."""
    now = words.now()
    rows = [
        (
            each["name"],
            Id(each["id"]),
            state(link(each)),
            words.ago(each["last_heard_at"], now),
            state(in_sync(each)),
            Id(each["current"] or ""),
            words.labels(each["labels"]),
        )
        for each in page["data"]
    ]
    tables.columns(("DEVICE", "ID", "LINK", "LAST HEARD", "IN SYNC", "CURRENT", "LABELS"), rows)


def device(device: Json) -> None:
    """A device: what it shall run, and what was last heard of it."""
    now = words.now()
    known = device["last_known"]
    tables.fields(
        [
            ("name", device["name"]),
            ("id", device["id"]),
            ("labels", words.labels(device["labels"])),
            ("created", words.with_age(device["created_at"], now)),
            *([("archived", words.with_age(device["archived_at"], now))] if device["archived_at"] else ()),
            ("enrolled", words.with_age(device["enrolled_at"], now)),
            *([("revoked", words.with_age(device["revoked_at"], now))] if device["revoked_at"] else ()),
            ("token expires", words.until(device["token_expires_at"], now)),
            ("link", state(link(device))),
            ("last heard", words.ago(device["last_heard_at"], now)),
            ("desired", device["current"] or ""),
            ("fallback", device["fallback"] or ""),
            ("generation", str(device["generation"])),
            *([("confirm within", words.term(device["confirm_s"]))] if device["confirm_s"] else ()),
            ("in sync", state("yes" if device["in_sync"] else "no")),
            *(_lagging(device.get("lagging"), now)),
            *([("key list", str(device["key_list"]))] if device.get("key_list") else ()),
            *(_last_known(known, words.ago(known["reported_at"], now)) if known else ()),
        ]
    )


def created_device(device: Json, url: str) -> None:
    """A device with its token, which is never shown again, and what to do with it."""
    tables.fields(
        [
            ("name", device["name"]),
            ("id", device["id"]),
            ("token", device["token"]),
            ("expires", words.until(device["token_expires_at"], words.now())),
        ]
    )
    command = f"shallopd enroll --server {url} --token {words.clean(device['token'])}"
    click.echo("\nThe token is shown this once. Run on the robot, with directories of your choice:")
    click.echo(f"  {command} --state /var/lib/shallop --root /etc/robot")
    if any(f"//{host}" in url for host in ("127.", "localhost", "[::1]")):
        click.echo("From another machine, replace the address by one at which it reaches this server.")


def deployments(page: Json) -> None:
    """A list."""
    now = words.now()
    rows = [
        (
            Id(each["id"]),
            each["device_name"],
            each["release"],
            status(each),
            state(each["target_status"]),
            words.age(each["last_known_age_s"]),
            words.ago(each["created_at"], now),
            reason(each),
            purpose(each),
        )
        for each in page["data"]
    ]
    tables.columns(("ID", "DEVICE", "RELEASE", "STATUS", "TARGET", "KNOWN", "CREATED", "REASON", "DESCRIPTION"), rows)


def deployment(deployment: Json) -> None:
    """A deployment, what became of it, and its files."""
    now, waiting = words.now(), deployment["waiting"]
    tables.fields(
        [
            ("id", deployment["id"]),
            ("device", f"{deployment['device_name']} ({deployment['device_id']})"),
            ("release", deployment["release"]),
            ("description", deployment["description"]),
            ("status", status(deployment)),
            ("target", state(deployment["target_status"])),
            ("activity", state(deployment["activity_status"])),
            ("error", state(deployment["error_status"])),
            ("reason", reason(deployment)),
            ("attempts", str(deployment["attempts"])),
            *([("waits until", words.until(waiting["until"], now))] if waiting and waiting["until"] else ()),
            *([("integrity", _reason(deployment["integrity"]))] if deployment["integrity"] else ()),
            *([("confirm within", words.term(deployment["confirm_s"]))] if deployment["confirm_s"] else ()),
            ("last known", words.age(deployment["last_known_age_s"])),
            ("patched from", deployment["patched_from"] or ""),
            *([("restores", deployment["restores"])] if deployment["restores"] else ()),
            ("created", f"{words.with_age(deployment['created_at'], now)} by {deployment['created_by']}"),
            ("queued", words.with_age(deployment["queued_at"], now)),
            ("deployed", words.with_age(deployment["deployed_at"], now)),
            ("archived", words.with_age(deployment["archived_at"], now)),
            ("digest", deployment["digest"]),
        ]
    )
    if deployment["config_instances"]:
        click.echo()
        rows = [
            (Id(each["id"]), place(each), each["path"], str(each["size"]), each["digest"])
            for each in deployment["config_instances"]
        ]
        tables.columns(("ID", "CONFIG TYPE", "PATH", "BYTES", "DIGEST"), rows)


def purpose(deployment: Json) -> str:
    """What a deployment is for, in its author's words; where there are none, what it was made from."""
    if deployment["description"]:
        return deployment["description"]
    if deployment["restores"]:
        return f"rollback to {words.short(deployment['restores'])}"
    return f"patch of {words.short(deployment['patched_from'])}" if deployment["patched_from"] else ""


def status(deployment: Json) -> tables.Cell:
    """The merged status, and what it waits for: ``queued, held by docking: parking until 14:05 UTC``."""
    return tables.Cell(words_of_status(deployment), state(deployment["status"]).style)


def words_of_status(deployment: Json) -> str:
    """The merged status, what it waits for, and whether its files were changed on the robot, as one line."""
    told: list[str] = [deployment["status"]]
    if waiting := deployment["waiting"]:
        ends = waiting["code"] == "held" and waiting["until"]
        told.append(waiting["message"] + (f" until {words.time_of_day(ends)}" if ends else ""))
    if deployment["integrity"]:
        told.append("files changed on the robot")
    return ", ".join(told)


def reason(deployment: Json) -> str:
    """Why a deployment is not as it should be: ``check_rejected: speed too high``; empty if it is."""
    return _reason(deployment["reason"])


def history(page: Json) -> None:
    """What happened, one line each."""
    rows = [
        (
            words.stamp(each["at"]),
            each["actor"],
            each["action"],
            Id(each["deployment_id"] or ""),
            change(each["before"] or {}, each["after"] or {}),
        )
        for each in page["data"]
    ]
    tables.columns(("AT", "WHO", "WHAT", "DEPLOYMENT", "CHANGE"), rows)


def audit(page: Json) -> None:
    """What happened to everything, one line each."""
    rows = [
        (
            str(each["id"]),
            words.stamp(each["at"]),
            each["actor"],
            each["action"],
            Id(each["deployment_id"] or each["device_id"] or each["release_id"] or ""),
            change(each["before"] or {}, each["after"] or {}),
        )
        for each in page["data"]
    ]
    tables.columns(("ENTRY", "AT", "WHO", "WHAT", "ABOUT", "CHANGE"), rows)


def place(file: Json) -> str:
    """Where a file of a deployment belongs, as people type it: ``motion-control`` or ``lidar/front``."""
    return parameters.Place(file["config_type"], file["slot"]).place


def in_sync(device: Json) -> str:
    """Whether a device has answered its newest order, or that orders do not get through to it."""
    if device.get("lagging"):
        return "lagging"
    return "yes" if device["in_sync"] else "no"


def _lagging(lagging: Json | None, now: datetime.datetime) -> list[tuple[str, tables.Content]]:
    if not lagging:
        return []
    why = _LAGGING.get(lagging["why"], lagging["why"])
    return [("lagging", f"{why}; first seen {words.ago(lagging['since'], now)}")]


_LAGGING = {
    "stale": "it says that nothing fresh reaches it",
    "not_received": "its newest order does not reach it",
    "refused": "it refused what reached it",
}


def link(device: Json) -> str:
    """How a device is connected, in a word."""
    if device["archived_at"]:
        return "archived"
    if device["revoked_at"]:
        return "revoked"
    return "not enrolled" if device["enrolled_at"] is None else device["connectivity"]


def _last_known(known: Json, age: str) -> list[tuple[str, tables.Content]]:
    refused = known["refused"]
    return [
        ("reported", age),
        ("it runs", known["current"] or ""),
        ("its generation", str(known["generation"])),
        ("it refused", f"{refused['code']}: {refused['message']}" if refused else ""),
        ("its clock", words.stamp(known["device_time"]) + ("" if known["clock_synced"] else " (not synchronised)")),
        ("its agent", known["agent_version"]),
    ]


def _reason(reason: Mapping[str, Any] | None) -> str:
    return f"{reason['code']}: {reason['message']}" if reason else ""


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The statuses that changed, then why."""
    names = ("target_status", "activity_status", "error_status")
    changed = [
        f"{name.removesuffix('_status')} {before[name]} -> {after[name]}"
        for name in names
        if name in before and name in after and before[name] != after[name]
    ]
    return "; ".join([*changed, *filter(None, [_reason(after.get("reason"))])])
