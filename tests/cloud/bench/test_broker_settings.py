"""broker.yaml: what ships loads, and what is wrong is said with file, place and remedy."""

import dataclasses
import importlib.resources
from pathlib import Path

import amqtt.contexts
import pytest
import yaml
from shallop_cloud.bench.broker_settings import BUNDLED, BrokerSettings, BrokerSettingsError, load_settings

SHIPPED = BrokerSettings(bind="127.0.0.1:1883", password_file=Path("shallop-data/mqtt/passwords"))


def test_the_file_that_ships_says_what_the_defaults_are():
    assert load_settings() == SHIPPED


def test_the_file_that_ships_is_in_the_package_and_at_the_top_of_the_repository():
    packaged = importlib.resources.files("shallop_cloud.bench").joinpath("broker.yaml").read_text()
    link = Path(__file__).parents[3] / "broker.yaml"
    assert link.read_text() == packaged
    assert not link.readlink().is_absolute()


def test_the_file_that_ships_is_in_amqtts_own_format_and_means_the_same_to_it():
    as_amqtt_reads_it = amqtt.contexts.BrokerConfig.from_dict(yaml.safe_load(BUNDLED.read_text()))
    assert as_amqtt_reads_it == amqtt.contexts.BrokerConfig.from_dict(SHIPPED.amqtt_config())


def test_limits_may_be_left_out(tmp_path):
    content = yaml.safe_load(BUNDLED.read_text())
    del content["plugins"]["shallop_cloud.bench.broker_plugins.Limits"]
    (tmp_path / "broker.yaml").write_text(yaml.safe_dump(content))
    assert load_settings(tmp_path / "broker.yaml") == SHIPPED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bind:", "bnid:", "listeners.default.bind: Field required"),
        ("bind:", "bnid:", "listeners.default.bnid: Extra inputs are not permitted"),
        ("type: tcp", "type: ws", "listeners.default.type: Input should be 'tcp'"),
        ("127.0.0.1:1883", "1883", "listeners.default.bind: Input should be a valid string"),
        ("127.0.0.1:1883", '"1883"', "listen address '1883': write HOST:PORT"),
        ("127.0.0.1:1883", "127.0.0.1:99999", "listen address '127.0.0.1:99999': write HOST:PORT"),
        ("127.0.0.1:1883", "127.0.0.1:mqtt", "listen address '127.0.0.1:mqtt': write HOST:PORT"),
        (
            "path: shallop-data/mqtt/passwords",
            "path: ''",
            "broker_plugins.PasswordFile.path: ",
        ),
        ("root: shallop/v1", "root: shallop/+", "topic root 'shallop/+': each segment must be"),
        (
            "max_packet_bytes: 1048576",
            "max_packet_bytes: 1 MiB",
            "Limits.max_packet_bytes: Input should be a valid int",
        ),
        ("max_packet_bytes: 1048576", "max_packet_bytes: 0", "must be above 0"),
        ("connect_timeout_s: 10", "connect_timeout_s: -1", "must be above 0"),
        ("plugins:", "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n", "AnonymousAuthPlugin: Extra"),
        ("PasswordFile:", "PasswordsFile:", "plugins.shallop_cloud.bench.broker_plugins.PasswordFile: Field required"),
        ("listeners:", "[", "not YAML: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old: str, new: str, message: str):
    path = tmp_path / "broker.yaml"
    path.write_text(BUNDLED.read_text().replace(old, new, 1) if old != "bind:" else _without_comments(old, new))
    with pytest.raises(BrokerSettingsError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def _without_comments(old: str, new: str) -> str:
    lines = [line for line in BUNDLED.read_text().splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace(old, new, 1)


@pytest.mark.parametrize("content", [b"", b"- a\n", b"\xff", b"42"])
def test_what_is_no_settings_file_at_all_is_refused(tmp_path, content: bytes):
    path = tmp_path / "broker.yaml"
    path.write_bytes(content)
    with pytest.raises(BrokerSettingsError, match=r"broker\.yaml: "):
        load_settings(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BrokerSettingsError, match=r"nowhere\.yaml: No such file or directory: name a readable file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_an_override_is_checked_like_the_file():
    assert dataclasses.replace(SHIPPED, bind="[::1]:0").bind == "[::1]:0"
    with pytest.raises(BrokerSettingsError, match="listen address 'localhost': write HOST:PORT"):
        dataclasses.replace(SHIPPED, bind="localhost")
