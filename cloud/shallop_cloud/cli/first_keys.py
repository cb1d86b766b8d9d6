"""Root keys and the first key list, made before a server's first start."""

from __future__ import annotations

from pathlib import Path

from shallop_protocol import keys, strict_json

from shallop_cloud import errors, files, keyring, root_keys
from shallop_cloud.cli import exits, words

LIST = keyring.PREPARED
"""The name of the file with the list, in the data directory."""


def make(data: Path, out: Path, count: int, threshold: int, passphrase: str | None) -> list[tuple[Path, str]]:
    """Makes them; gives each root key's file and id.

    Args:
        data: the data directory of the server to be; its signing key is used if it has one.
        out: where the root keys go.

    Raises:
        exits.Failure: something of it is there already, or cannot be written.
    """
    if threshold > count:
        said = f"a threshold of {threshold} cannot be met by {count} root keys"
        raise exits.Failure(exits.Exit.INVALID, f"{said}; make more, or lower it")
    paths = [out / f"root-{number}.key" for number in range(1, count + 1)]
    for path in (data / LIST, data / keyring.ROOT_KEY, *paths):
        if path.exists():
            hint = "keys are made once; shallop key rotate makes new signing keys"
            raise exits.Failure(exits.Exit.CONFLICT, f"{path} is there already, and nothing was made; {hint}")
    try:
        for directory in (data, out):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        listed = keyring.first_list(keyring.signing_key(data).key, words.now())
        roots = [root_keys.make(path, passphrase) for path in paths]
        prepared = {
            "roots": [root.key.text for root in roots],
            "threshold": threshold,
            "key_list": keys.seal_key_list(listed, roots).decode(),
        }
        files.write(data / LIST, strict_json.dumps(prepared) + b"\n")
    except OSError as error:
        raise exits.Failure(exits.Exit.FAILED, f"{error.filename} cannot be written: {error.strerror}") from None
    except errors.StartupError as error:
        raise exits.Failure(exits.Exit.INVALID, str(error)) from None
    return [(path, root.key.keyid) for path, root in zip(paths, roots, strict=True)]
