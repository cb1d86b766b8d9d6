"""``broker.yaml``: amqtt's format, read strictly into one value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from shallop_protocol.topics import DEFAULT_ROOT, Topics

from shallop_cloud.bench import broker_plugins

BUNDLED = Path(__file__).with_name("broker.yaml")
"""The file that ships with shallop."""

_PLUGINS = broker_plugins.__name__
_LIMITS = broker_plugins.Limits.Config()


def bind_to(address: tuple[str, int]) -> str:
    """Host and port as ``BrokerSettings.bind`` has them; an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class BrokerSettingsError(ValueError):
    """A setting that the broker cannot start with. The message says where, what, and what to do."""


@dataclasses.dataclass(frozen=True)
class BrokerSettings:
    """What the bench broker needs to know; a caller overrides a part with ``dataclasses.replace``.

    Raises:
        BrokerSettingsError: a value is impossible.
    """

    bind: str
    """``host:port``; port 0 takes a free one."""
    password_file: Path
    topic_root: str = DEFAULT_ROOT
    max_packet_bytes: int = _LIMITS.max_packet_bytes
    max_unread_bytes: int = _LIMITS.max_unread_bytes
    connect_timeout_s: float = _LIMITS.connect_timeout_s

    def __post_init__(self) -> None:
        host, _, port = self.bind.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise BrokerSettingsError(
                f"listen address {self.bind!r}: write HOST:PORT, such as 127.0.0.1:1883, or [::1]:1883 for IPv6"
            )
        try:
            Topics(self.topic_root)
        except ValueError as error:
            raise BrokerSettingsError(str(error)) from error
        if min(self.max_packet_bytes, self.max_unread_bytes, self.connect_timeout_s) <= 0:
            raise BrokerSettingsError("max_packet_bytes, max_unread_bytes and connect_timeout_s must be above 0")

    def amqtt_config(self) -> dict[str, Any]:
        """The configuration that amqtt's ``Broker`` takes. (Any: amqtt reads it by itself, type by type.)"""
        return {
            "listeners": {"default": {"type": "tcp", "bind": self.bind}},
            "plugins": {
                f"{_PLUGINS}.PasswordFile": {"path": str(self.password_file)},
                f"{_PLUGINS}.TopicAccess": {"root": self.topic_root},
                f"{_PLUGINS}.Limits": {
                    "max_packet_bytes": self.max_packet_bytes,
                    "max_unread_bytes": self.max_unread_bytes,
                    "connect_timeout_s": self.connect_timeout_s,
                },
            },
        }


def load_settings(path: Path = BUNDLED) -> BrokerSettings:
    """The settings in a ``broker.yaml``.

    Raises:
        BrokerSettingsError: the file cannot be read, is not YAML, or says something other than the broker can do.
    """
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        return BrokerSettings(
            bind=file.listeners.default.bind,
            password_file=Path(file.plugins.passwords.path),
            topic_root=file.plugins.access.root,
            max_packet_bytes=file.plugins.limits.max_packet_bytes,
            max_unread_bytes=file.plugins.limits.max_unread_bytes,
            connect_timeout_s=file.plugins.limits.connect_timeout_s,
        )
    except OSError as error:
        raise BrokerSettingsError(f"{path}: {error.strerror}: name a readable file, or none for the default") from error
    except pydantic.ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors()]
        raise BrokerSettingsError("\n".join([*faults, f"{BUNDLED} shows every key that there is"])) from error
    except BrokerSettingsError as error:
        raise BrokerSettingsError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # dates and numbers that are none, and nesting
        raise BrokerSettingsError(f"{path}: not YAML: {error}") from error


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class _Listener(_Strict):
    type: Literal["tcp"] = "tcp"
    bind: str


class _Listeners(_Strict):
    default: _Listener


class _PasswordFile(_Strict):
    path: str = pydantic.Field(min_length=1)


class _TopicAccess(_Strict):
    root: str = DEFAULT_ROOT


class _Limits(_Strict):
    max_packet_bytes: int = _LIMITS.max_packet_bytes
    max_unread_bytes: int = _LIMITS.max_unread_bytes
    connect_timeout_s: float = _LIMITS.connect_timeout_s


class _Plugins(_Strict):
    passwords: _PasswordFile = pydantic.Field(alias=f"{_PLUGINS}.PasswordFile")
    access: _TopicAccess = pydantic.Field(alias=f"{_PLUGINS}.TopicAccess")
    limits: _Limits = pydantic.Field(alias=f"{_PLUGINS}.Limits", default=_Limits())


class _File(_Strict):
    listeners: _Listeners
    plugins: _Plugins
