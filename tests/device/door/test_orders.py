"""An order that is handed in at the door is one like any other."""

from __future__ import annotations

import io
import tarfile

import pytest
from click.testing import CliRunner
from shallop_device import bundles, state, testing
from shallop_device.cli import root


def test_a_signed_order_is_taken_and_an_older_one_refused(local):
    manifest = local.shore.manifest({"f": "1"})
    older, newer = local.shore.order(None), local.shore.order(manifest)

    answer = local.ask("POST", "/v1/orders", local.shore.seal(newer))
    assert (answer.status, answer.json) == (200, {"epoch": 1, "generation": 2, "deployment": manifest.id})
    answer = local.ask("POST", "/v1/orders", local.shore.seal(newer) + b" ")
    assert answer.status == 200, "the same order in another envelope is not another one"
    answer = local.ask("POST", "/v1/orders", local.shore.seal(older))
    assert (answer.status, answer.json["code"]) == (409, "order_refused")
    stranger = testing.Shore(seed=2)
    answer = local.ask("POST", "/v1/orders", stranger.seal(local.shore.order(None)))
    assert (answer.status, answer.json["code"]) == (409, "order_refused")


@pytest.mark.parametrize(("size", "status"), [(1_048_576, 409), (1_048_577, 413)])
def test_an_order_has_its_own_limit(local, size, status):
    assert local.ask("POST", "/v1/orders", b"x" * size).status == status


def test_a_bundle_is_handed_to_the_agent_that_runs(local, tmp_path):
    manifest = local.shore.manifest({"f": "1"})
    data = local.shore.seal(local.shore.order(manifest))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        info = tarfile.TarInfo(bundles.ORDER)
        info.size = len(data)
        made.addfile(info, io.BytesIO(data))
    (tmp_path / "bundle").write_bytes(out.getvalue())
    settings = tmp_path / "shallopd.toml"
    settings.write_text(f'state = "{local.robot.state}"\n[door]\npath = "{local.path}"\n')

    with state.locked(local.robot.state):
        ran = CliRunner().invoke(
            root.shallopd, ["apply-bundle", str(tmp_path / "bundle"), "--config", str(settings)], catch_exceptions=False
        )

    assert (ran.exit_code, ran.output.splitlines()[0]) == (0, f"{manifest.id}, release 1.0.0, is in force")
    assert local.robot.visible() == {"f": "1"}


def test_a_key_list_is_taken_and_an_older_one_refused(local):
    first, second = local.shore.key_list, local.shore.rotate()

    answer = local.ask("POST", "/v1/keys", second)
    assert (answer.status, answer.json) == (200, {"version": 2, "epoch": 1})
    assert local.ask("POST", "/v1/keys", second).status == 200
    for bad in (first, testing.Shore(seed=2).rotate(), b""):
        answer = local.ask("POST", "/v1/keys", bad)
        assert (answer.status, answer.json["code"]) == (409, "key_list_refused")
    assert local.ask("POST", "/v1/keys", b"x" * 16_385).status == 413
