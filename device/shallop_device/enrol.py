"""Makes a device known to a cloud, once: a one-time token goes in, an identity comes out.

The device makes its own MQTT password and its own key pair, and has them in its database before it sends the password
and a certificate request. The call may be repeated with the same token and password, so neither a lost answer nor a
power cut burns a token.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import tenacity
from shallop_protocol import errors as protocol_errors
from shallop_protocol import strict_json

from shallop_device import __version__, backoff, certificate, errors, identity, state, store, tls

ATTEMPTS = 6
TIMEOUT_S = 15.0
PATH = "/v1/enrolments"
PATIENCE = backoff.Backoff(first=1.0, cap=15.0)
SYSTEM_TRUST = tls.Trust()

_LOCAL = ("localhost", "127.0.0.1", "::1")

logger = logging.getLogger(__name__)


class _Unreachable(Exception):
    """No answer, or one that says that it is the server's trouble: the same call may succeed later."""


def enrol(
    server: str,
    token: str,
    state_dir: Path,
    root: Path,
    *,
    patience: backoff.Backoff = PATIENCE,
    trust: tls.Trust = SYSTEM_TRUST,
) -> identity.Identity:
    """Enrols this device. Repeated with the same arguments it gives the same device.

    Args:
        server: the cloud's address, ``https://host[:port][/path]`` or ``http://…``.
        patience: the waits between attempts to reach the server.
        trust: whose certificate is believed, over HTTPS.

    Raises:
        errors.BadUsage: the address or token cannot be one.
        errors.NotAuthorized: the cloud does not take the token.
        errors.AgentError: the state directory is in use or enrolled already, the server cannot be reached or gave an
            answer that cannot be used.
    """
    server = _address(server)
    if not token.strip():
        raise errors.BadUsage("the token is empty: ask the cloud for one (shallop device create --help)")
    root = root.absolute()
    with state.locked(state_dir):
        memory = store.Store.open(state_dir)
        try:
            return _enrol(memory, server, token, root, patience, trust)
        finally:
            memory.close()


def _enrol(
    memory: store.Store, server: str, token: str, root: Path, patience: backoff.Backoff, trust: tls.Trust
) -> identity.Identity:
    known = memory.identity
    enrolling = memory.enrolling
    if known and enrolling and enrolling.token_digest != hashlib.sha256(token.encode()).hexdigest():
        raise errors.AgentError(
            f"this state directory is enrolled already: {known.name} ({known.device}) at {known.server}; "
            "use another --state, or delete it if that device is gone"
        )
    if known and known.root != root:
        raise errors.AgentError(f"{known.name} is enrolled with --root {known.root}; the root does not change")
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.AgentError(f"cannot make the configuration root {root}: {error}") from error
    enrolling = memory.begin_enrolment(server, root, token)
    assert enrolling.key is not None, "an enrolment that begins has one"
    body = {
        "token": token,
        "secret": enrolling.secret,
        "agent_version": __version__,
        "csr": certificate.request(enrolling.key),
    }
    answer = _ask(server, body, patience, trust)
    found = identity.of(answer, server, root, enrolling.secret, enrolling.key)
    if found.certificate:
        try:
            certificate.check(found.certificate)
        except ValueError as error:
            raise errors.AgentError(f"{server} gave an answer that cannot be used: {error}") from None
    if known and known.device != found.device:
        raise errors.AgentError(f"{server} answered for {found.device}, but this is {known.device}")
    memory.finish_enrolment(answer)
    return found


def _address(server: str) -> str:
    wrong = errors.BadUsage(f"{server!r} is not a server's address: expected http(s)://host[:port]")
    try:
        parts = urllib.parse.urlsplit(server)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise wrong
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        logger.warning("%s: token and password travel unencrypted; use https://", server)
    return server.rstrip("/")


def _ask(server: str, body: dict[str, str], patience: backoff.Backoff, trust: tls.Trust) -> bytes:
    rng = random.SystemRandom()
    try:
        context = trust.context() if server.startswith("https:") else None
    except OSError as error:
        raise errors.BadUsage(str(error)) from None

    def wait(state: tenacity.RetryCallState) -> float:
        return patience.delay(state.attempt_number, rng)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning("attempt %d of %d: %s", state.attempt_number, ATTEMPTS, error)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Unreachable),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=wait,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return retrying(_post, server, body, context)
    except _Unreachable as error:
        raise errors.AgentError(f"{error}; gave up after {ATTEMPTS} attempts, run the same command again") from None


def _post(server: str, body: dict[str, str], context: ssl.SSLContext | None) -> bytes:
    request = urllib.request.Request(  # noqa: S310  the scheme was checked
        f"{server}{PATH}",
        data=strict_json.dumps(body),
        headers={"Content-Type": "application/json", "Accept": "application/json, application/problem+json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as response:  # noqa: S310
            answer: bytes = response.read(identity.MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        raise _refusal(server, error) from None
    except urllib.error.URLError as error:
        why = tls.words(error.reason) if isinstance(error.reason, OSError) else error.reason
        raise _Unreachable(f"cannot reach {server}: {why}") from None
    except OSError as error:
        raise _Unreachable(f"cannot reach {server}: {error}") from None
    try:
        json.loads(answer)
    except ValueError:
        raise errors.AgentError(f"{server} did not answer in JSON: is this the address of a shallop cloud?") from None
    return answer


def _refusal(server: str, error: urllib.error.HTTPError) -> Exception:
    """What an answer that is not a success means; RFC 9457."""
    words = f"{error.code} {error.reason}"
    try:
        problem: Any = strict_json.loads(error.read(identity.MAX_ANSWER_BYTES), identity.MAX_ANSWER_BYTES)
        words = str(problem.get("detail") or problem.get("title") or words)
    except (OSError, protocol_errors.ProtocolError, AttributeError):
        logger.debug("an answer without a problem document: %s", words)
    if error.code in (401, 403):
        return errors.NotAuthorized(f"{server}: {words}")
    if error.code >= 500 or error.code == 429:
        return _Unreachable(f"{server}: {words}")
    return errors.AgentError(f"{server}: {words}")
