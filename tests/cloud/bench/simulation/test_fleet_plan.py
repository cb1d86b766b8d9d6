"""Plans of fleets: read strictly, carried out in virtual time."""

from __future__ import annotations

import pytest
from shallop_cloud.bench.simulation import fleet_plan, rehearsal
from shallop_cloud.bench.simulation.fleet_plan import Plan, PlanError


def plan(*waves: dict[str, object], **fields: object) -> Plan:
    return Plan.model_validate({"robots": 10, "hours": 2, "waves": list(waves), **fields})


def test_a_plan_is_read(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(
        "robots: 20\nlinks: {offline: 10%, outage: 5m}\nwaves:\n"
        "  - {at: 10m, robots: 10%, deploy: fails on 2.5%}\n  - {at: 1h, robots: [7, 9], archive: true}\n"
    )

    read = fleet_plan.load(file)

    assert (read.robots, read.links.offline, read.links.outage) == (20, 0.1, 300.0)
    assert [(wave.at, wave.deploy, wave.archive) for wave in read.waves] == [
        (600.0, 0.025, False),
        (3600.0, None, True),
    ]
    assert [read.chosen(wave) for wave in read.waves] == [(1, 2), (7, 9)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("robots: [\n", "plan.yaml:2:1: did not find expected node content"),
        ("robots: 0\nwaves: []", "/robots: Input should be greater than or equal to 1"),
        ("robots: 5\nwaves: [{at: 5, deploy: good}]", "/waves/0/at: 5 is no duration: write 30s, 10m, 2h or 1d"),
        ("robots: 5\nwaves: [{at: 5m, deploy: bad}]", "/waves/0/deploy: 'bad': write good, or fails on 2%"),
        ("robots: 5\nwaves: [{at: 5m}]", "/waves/0: a wave says either deploy or archive: true"),
        ("robots: 5\nwaves: [{at: 5m, robots: [9], deploy: good}]", "there is no robot 9: the fleet has 5"),
        ("robots: 5\nwaves: [{at: 5m, robots: 1%, deploy: good}]", "'1%' of 5 robots is none"),
        ("robots: 5\nhours: 1\nwaves: [{at: 2h, deploy: good}]", "begins after the 1 hours of the plan"),
        ("robots: 5\nspeed: 1\nwaves: [{at: 2h, deploy: good}]", "/speed: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_place(tmp_path, text, words):
    file = tmp_path / "plan.yaml"
    file.write_text(text)

    with pytest.raises(PlanError) as refused:
        fleet_plan.load(file)

    assert words in str(refused.value)


def test_on_good_links_everybody_has_it_at_once():
    first, second = rehearsal.rehearse(
        plan({"at": "10m", "robots": "20%", "deploy": "good"}, {"at": "20m", "robots": "all", "deploy": "good"}), 1
    )

    assert (first.robots, second.robots, second.failed, second.behind) == (2, 10, 0, 0)
    assert second.reached[-1] is not None
    assert second.reached[-1] < 30.0
    assert (first.bare, second.bare) == (2, 8)


def test_a_config_that_fails_everywhere_reaches_nobody_and_takes_nothing_from_anybody():
    _, bad, last = rehearsal.rehearse(
        plan(
            {"at": "10m", "deploy": "good"},
            {"at": "20m", "deploy": "fails on 100%"},
            {"at": "30m", "robots": [3], "archive": True},
        ),
        1,
    )

    assert (bad.reached[0], bad.failed, bad.behind, bad.bare) == (None, 10, 0, 0)
    assert (last.robots, last.behind) == (1, 0)


def test_a_fleet_on_bad_links_is_slower_and_the_same_each_time():
    bad = plan({"at": "10m", "deploy": "good"}, links={"offline": "50%", "outage": "5m"}, hours=1)

    (result,) = rehearsal.rehearse(bad, 1)

    assert rehearsal.rehearse(bad, 1) == [result]
    assert result.reached[-1] is None or result.reached[-1] > 30.0
