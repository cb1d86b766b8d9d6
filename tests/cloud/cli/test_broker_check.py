"""``shallop broker check``: its options, and how it ends. What it finds is tested beside the probes."""

from __future__ import annotations

import system_world

ACCOUNTS = ("--cloud", "cloud:secret", "--device", "dev-a:a", "--device", "dev-b:b")


def test_no_broker_at_all(run):
    url = f"mqtt://127.0.0.1:{system_world.free_port()}"

    ran = run("broker", "check", url, *ACCOUNTS)

    assert ran.code == 1
    assert ran.out.splitlines() == [
        "CHECK     VERDICT  OBSERVED",
        "accounts  unfit    it cannot be reached",
        "",
        "unfit: accounts",
        "  it cannot be reached",
        "  Nothing works: correct address, accounts, TLS or client ids.",
    ]
    assert ran.err == f"shallop: do not use the broker at {url} as it is\n"


def test_what_is_not_written_right(run, tmp_path):
    url = "mqtt://127.0.0.1:1"
    for arguments, said in [
        (["http://x", *ACCOUNTS], "not an MQTT URL"),
        (["mqtt://cloud:x@host", *ACCOUNTS], "the account belongs to --cloud"),
        ([url, "--cloud", "cloud:secret"], "give --device twice"),
        ([url, *ACCOUNTS[:-1], "dev-a:b"], "give --device twice, with two different users"),
        ([url, *ACCOUNTS[:-1], "Dev:b"], "device 'Dev' must be"),
        ([url, *ACCOUNTS, "--topic-root", "a#"], "topic root 'a#'"),
        ([url, "--cloud", f"cloud:@{tmp_path}/none"], "the password of 'cloud' cannot be read from"),
    ]:
        ran = run("broker", "check", *arguments)
        assert (ran.code, said in ran.err) == (2, True), ran


def test_a_file_that_is_no_authority(run, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")

    ran = run("broker", "check", "mqtts://127.0.0.1:1", *ACCOUNTS, "--ca", str(tmp_path / "ca.pem"))

    assert (ran.code, "ca.pem" in ran.err) == (2, True), ran
