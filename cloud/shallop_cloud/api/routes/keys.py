"""Whose orders count. Nothing here has a root's private half: who asks signed the list already."""

from __future__ import annotations

from typing import Annotated

import fastapi
from shallop_protocol import dsse, strict_json

from shallop_cloud.api import asking, models
from shallop_cloud.api.asking import Admin, S, Viewer
from shallop_cloud.services import key_lists

router = asking.guarded()
Force = Annotated[bool, fastapi.Query(description="Though robots in use do not have the present list yet.")]


@router.get("/keys")
def show_keys(shore: S, _: Viewer) -> models.Keys:
    """The key list in force, and how many devices go by it."""
    return _shown(key_lists.show(shore))


@router.post("/keys:generate", status_code=201)
def generate_key(shore: S, actor: Admin) -> models.PublicKey:
    """Make a signing key on this server. It signs nothing until a key list names it."""
    return _public(key_lists.generate(shore, actor.name))


@router.put("/keys")
def publish_keys(shore: S, actor: Admin, body: models.SignedKeys, force: Force = False) -> models.Keys:
    """Put a key list in force that the roots signed. It succeeds the present one, or says the same."""
    return _shown(key_lists.publish(shore, strict_json.dumps(body.model_dump()), actor.name, force=force))


def _shown(found: key_lists.Shown) -> models.Keys:
    standing, counts = found.standing, found.devices
    listed = standing.listed
    newest, unknown = counts.get(listed.version, 0), counts.get(0, 0)
    newer = sum(number for version, number in counts.items() if version > listed.version)
    return models.Keys(
        version=listed.version,
        epoch=listed.epoch,
        issued_at=listed.issued_at,
        keys=[
            models.ListedKey(id=each.public.keyid, key=each.key, state=each.state, held=each.public.keyid in found.held)
            for each in listed.signing_keys
        ],
        unlisted=[_public(key) for key in found.unlisted],
        roots=[_public(key) for key in standing.roots.keys],
        threshold=standing.roots.threshold,
        devices=models.GoingBy(
            newest=newest, newer=newer, unknown=unknown, older=sum(counts.values()) - newest - newer - unknown
        ),
        renewing=found.renewing,
        key_list=standing.envelope.decode(),
    )


def _public(key: dsse.PublicKey) -> models.PublicKey:
    return models.PublicKey(id=key.keyid, key=key.text)
