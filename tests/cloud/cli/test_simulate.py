"""``shallop simulate``: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import re

from shallop_device import files

QUICK = ("--hours", "0.2", "--robots", "2")


def test_a_seed_that_violates_nothing(run):
    ran = run("simulate", "--seed", "5", *QUICK)

    assert (ran.code, ran.out) == (0, "seeds: 1, violations: 0\n")


def test_the_trace_of_a_seed(run):
    ran = run("simulate", "--seed", "5", "--trace", *QUICK)

    assert "the cloud starts" in ran.out
    assert "all agree, and are silent" in ran.out


def test_many_seeds(run):
    ran = run("simulate", "--count", "4", "--jobs", "1", *QUICK)

    assert (ran.code, ran.out) == (0, "seeds: 4, violations: 0\n")
    assert "2 of 4 seeds, 0 violations" in ran.err


def test_a_violation_says_how_to_see_it_again(run, monkeypatch):
    monkeypatch.setattr(files.RootedFiles, "sync_directory", lambda self, path: None)

    ran = run("simulate", "--count", "20", "--jobs", "1", "--fail-fast", *QUICK)

    assert ran.code == 1
    assert re.search(r"^seed \d+ violates S13: robot \d: DPL-\w+ is called deployed", ran.out, re.MULTILINE)
    assert "options: --hours 0.2 --robots 2 --faults all" in ran.out
    assert re.search(r"seeds: \d+, violations: 1\n\Z", ran.out)
    again = re.search(r"^  shallop (simulate --seed \d+ .* --only [\d,]+)$", ran.out, re.MULTILINE)
    assert again
    repeated = run(*again[1].split(), "--no-shrink")
    assert (repeated.code, "violates S13" in repeated.out) == (1, True)


def test_the_faults_are_listed(run):
    assert run("simulate", "--list-faults").out.startswith("power           a robot loses its power")


def test_bad_input_is_refused(run, tmp_path):
    cases = {
        ("--faults", "power,earthquake"): "--faults: 'earthquake' is none; there are: all, none, power",
        ("--only", "1,x"): "--only 1,x: numbers with commas between, such as 3,7,12",
        ("--only", "1", "--count", "2"): "--only and --trace belong to one seed; leave --count out",
        ("--robots", "0"): "Invalid value for '--robots'",
    }
    for arguments, words in cases.items():
        ran = run("simulate", *arguments)
        assert (ran.code, words in ran.err.replace("'1,x'", "1,x")) == (2, True), ran.err
    missing = run("simulate", "--plan", str(tmp_path / "none.yaml"))
    assert missing.code == 7
    assert "cannot read" in missing.err


def test_a_plan_is_rehearsed(run, tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("robots: 4\nhours: 1\nwaves: [{at: 10m, deploy: good}]\n")

    ran = run("simulate", "--plan", str(file))

    heads, row, last = ran.out.splitlines()
    assert (ran.code, heads.split()[:3], last) == (0, ["WAVE", "ACT", "ROBOTS"], "seeds: 1, violations: 0")
    assert row.split()[:3] == ["10m00s", "deploy", "4"]
