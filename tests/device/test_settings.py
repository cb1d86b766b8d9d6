"""The settings: where a value comes from, which source goes first, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from shallop_device import errors, settings

LEVELS = "'debug', 'info', 'warning' or 'error'"
EXAMPLE = "as in /usr/local/lib/robot/check"


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "shallopd.toml"
        path.write_text(text)
        return path

    return write


def refused(*arguments, **more) -> str:
    with pytest.raises(errors.BadUsage) as error:
        settings.load(*arguments, **more)
    return str(error.value)


def test_a_later_source_goes_first(file):
    path = file('[link]\nkeepalive_s = 20\nheartbeat_s = 100\n[log]\nlevel = "error"\n')
    environment = {"SHALLOPD_LINK_HEARTBEAT_S": "200", "SHALLOPD_LOG_LEVEL": "warning", "SHALLOPD_RUN_HEARTBEAT": "5"}

    loaded = settings.load(path, environment, {"log.level": "debug", "state": Path("/s"), "retry.cap_s": None})

    link = settings.Link(keepalive_s=20, heartbeat_s=200.0)
    assert loaded.settings == settings.Settings(state=Path("/s"), link=link, log=settings.Log(level="debug"))
    found = {name: (value, origin) for name, value, origin in loaded.rows()}
    assert found["link.keepalive_s"] == (20, f"{path}:2")
    assert found["link.heartbeat_s"] == (200.0, "the environment, SHALLOPD_LINK_HEARTBEAT_S")
    assert found["log.level"] == ("debug", "the command line")
    assert found["retry.cap_s"] == (300.0, "default")


def test_what_a_file_can_say(file):
    text = """
        state = "/var/lib/x"
        hooks.check = "/usr/bin/check"
        [health]
        acks = ["nav2"]
        [links]
        "/etc/nav2/params.yaml" = "nav2/params.yaml"
    """
    loaded = settings.load(file(text), {"SHALLOPD_HOOKS_HEALTH": '["/h", "-v"]', "SHALLOPD_HEALTH_ACKS": "a, b"})

    assert loaded.settings.hooks.check == ("/usr/bin/check",)
    assert loaded.settings.hooks.health == ("/h", "-v")
    assert loaded.settings.health.acks == {"a", "b"}
    assert loaded.settings.links == {Path("/etc/nav2/params.yaml"): "nav2/params.yaml"}
    assert loaded.settings.door_path == Path("/var/lib/x/shallopd.sock")


def test_a_profile_sets_what_is_not_given(file):
    loaded = settings.load(file('[link]\nprofile = "metered"\nheartbeat_s = 7200\n'), {})

    assert loaded.settings.link.keepalive_s == settings.METERED["keepalive_s"]
    assert loaded.settings.link.heartbeat_s == 7200
    assert ("link.keepalive_s", settings.METERED["keepalive_s"], "profile") in list(loaded.rows())


def test_all_that_is_wrong_is_told_with_its_place(file):
    path = file('[link]\nhartbeat_s = 1\nkeepalive_s = "x"\n\n[hooks]\ncheck = "check.sh"\n[nonsense]\na = 1\n')

    assert refused(path, {"SHALLOPD_LOG_LEVEL": "loud", "SHALLOPD_LOG_COLOUR": "red"}).splitlines() == [
        f"the environment, SHALLOPD_LOG_LEVEL: [log] level = 'loud': input should be {LEVELS}",
        "the environment, SHALLOPD_LOG_COLOUR: [log] colour is not a key of the settings; there are level",
        f"{path}:3: [link] keepalive_s = 'x': input should be a valid integer, unable to parse string as an integer",
        f"{path}:2: [link] hartbeat_s is not a key of the settings; did you mean heartbeat_s?",
        f"{path}:6: [hooks] check = 'check.sh': the program has to be an absolute path, {EXAMPLE}",
        f"{path}:7: nonsense is not a key of the settings; there are {', '.join(settings.Settings.model_fields)}",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[link\n", "is not TOML"),
        ("link = 3\n", "link = 3: input should be"),
        ('[link]\nca = "ca.pem"\n', "[link] ca = 'ca.pem': it has to be an absolute path"),
        ('[link]\nclient_key = "/k"\n', "client_certificate and client_key are set together"),
        ("[retry]\ncap_s = inf\n", "[retry] cap_s = inf"),
        ("[retry]\ncap_s = 0\n", "greater than 0"),
        ('[links]\n"/a" = "../b"\n', "the target is a path below current/"),
        ('[hooks]\ncheck = "/a"\nhealth = [1]\n', "[hooks] health"),
    ],
)
def test_what_cannot_be(text, words, file):
    assert words in refused(file(text), {})


def test_a_file_that_is_not_there(tmp_path):
    assert "cannot read the settings" in refused(tmp_path / "none.toml", {})
    assert "cannot read the settings" in refused(tmp_path, {})


def test_a_list_in_the_environment_that_is_none():
    assert "[hooks] check" in refused(None, {"SHALLOPD_HOOKS_CHECK": "[oops"})


def test_the_environment_alone():
    loaded = settings.load(None, {"SHALLOPD_STATE": "/s", "SHALLOPD_LINK_CA": "", "OTHER": "x"})

    assert loaded.settings == settings.Settings(state=Path("/s"))
    assert next(iter(loaded.rows())) == ("state", "/s", "the environment, SHALLOPD_STATE")
