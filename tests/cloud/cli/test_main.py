"""The command as a whole: how it begins, how it is found out, how it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import ssl
import subprocess
import sys
import threading

import cli_world
import pytest
from cli_world import Refusal, refusal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from shallop_cloud.cli import client, root

LIST = ("device", "list")


def test_exit_codes_follow_the_problem(run, world):
    codes = {400: 7, 401: 4, 403: 4, 404: 5, 409: 6, 413: 7, 422: 7, 418: 1, 429: 1, 500: 1, 503: 1}

    ended = {}
    for status in codes:
        world.refuses = refusal(status, "some_code", "what, where and why")
        ran = run(*LIST, "-o", "json")
        ended[status] = ran.code
        assert (ran.out, ran.err.splitlines()[0]) == ("", "shallop: what, where and why")

    assert ended == codes


def test_a_token_that_is_not_accepted(run, world):
    ran = run(*LIST, "--token", "another")

    assert ran.code == 4
    first, second = ran.err.splitlines()
    assert first == "shallop: this server knows no such token"
    assert 'export SHALLOP_TOKEN="$(cat DIR/admin.token)"' in second


def test_no_token(run, world, monkeypatch):
    monkeypatch.delenv("SHALLOP_TOKEN")

    ran = run(*LIST)

    assert ran.code == 4
    assert ran.err.startswith("shallop: no token; `shallop serve` keeps the administrator's token in admin.token")


def test_options_may_stand_before_and_behind_the_subcommand(run, world, monkeypatch):
    monkeypatch.delenv("SHALLOP_TOKEN")
    monkeypatch.delenv("SHALLOP_URL")
    given = ("--url", f"{world.url}/", "--token", cli_world.TOKEN, "-o", "name")

    assert run(*given, *LIST).code == 0
    assert run(*LIST, *given).code == 0
    assert run("--url", "http://127.0.0.1:9", "-o", "json", *LIST, *given).out == ""


def test_no_server(run, world, monkeypatch):
    monkeypatch.setenv("SHALLOP_URL", "http://127.0.0.1:9")

    ran = run(*LIST)

    assert ran.code == 1
    assert ran.err.startswith("shallop: no answer from http://127.0.0.1:9: ")
    assert ran.err.endswith("; `shallop serve` starts a server, SHALLOP_URL or --url says where it is\n")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--url", "127.0.0.1:8080", "'127.0.0.1:8080' is not a server's URL; it looks like http://127.0.0.1:8080"),
        ("--url", "http://", "'http://' is not a server's URL"),
        ("--url", "http://host:port", "'http://host:port' is not a server's URL"),
        ("--url", "http://[::1", "'http://[::1' is not a server's URL"),
        ("--token", "t\u00f6ken", "the token has characters that no token has"),
        ("--token", "a\nb", "the token has characters that no token has"),
    ],
)
def test_a_url_or_token_that_cannot_be_one(run, world, option, value, words):
    ran = run(*LIST, option, value)

    assert ran.code == 2
    assert ran.err.startswith(f"shallop: {words}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Refusal(502, b"<html>Bad gateway</html>", ()), "answered 502 Bad Gateway, which is not what a shallop server"),
        (Refusal(301, b"", (("Location", "https://x/"),)), "answered 301 Moved Permanently and points to https://x/"),
        (Refusal(200, b"<html>Hello</html>", ()), "answered 200 OK, which is not what a shallop server says"),
        (Refusal(200, b"[]", ()), "answered 200 OK, which is not what a shallop server says"),
        (Refusal(500, b'{"errors": 3, "detail": []}', ()), "answered 500 Internal Server Error, which"),
    ],
)
def test_something_else_that_listens_there(run, world, answer, words):
    world.refuses = answer

    ran = run(*LIST)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"shallop: {world.url} {words}")


def test_a_server_that_says_nothing_of_findings(run, world):
    world.refuses = Refusal(422, b'{"detail": "no", "errors": [{"message": "bad"}]}', ())

    assert run(*LIST).err == "shallop: no\nbad\n"


def test_what_the_server_says_cannot_command_the_terminal(run, world):
    world.refuses = refusal(404, "x", "no device '\x1b]0;owned\x07\x1b[2Jamr'\nat all")

    assert run(*LIST).err == "shallop: no device 'amr' at all\n"


def test_a_server_whose_certificate_nobody_vouches_for_is_not_asked(run, tmp_path):
    with _tls_server(tmp_path) as url:
        ran = run(*LIST, "--url", url, "--token", "t")

    assert ran.code == 1
    assert "certificate verify failed: self-signed certificate" in ran.err


@contextlib.contextmanager
def _tls_server(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(cli_world.before(hours=1))
        .not_valid_after(cli_world.before(hours=-1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as server:

        def shake_hands():
            with contextlib.suppress(OSError):
                server.accept()[0].close()

        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_server_that_accepts_and_never_answers(run, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_WITHIN", 0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        ran = run(*LIST, "--url", url, "--token", "t")

    assert ran.code == 1
    assert ran.err.startswith(f"shallop: no answer from {url}: it took too long; ")


@pytest.mark.parametrize("key", ["", " ", "..", "a/b", "DPL-7K3QF:archive", "a\0b", 129 * "a"])
def test_keys_that_are_none(run, world, key):
    ran = run("deployment", "show", key)

    assert ran.code == 2
    assert "is neither an id nor a name" in ran.err


def test_keys_may_hold_what_means_something_in_urls(run, world):
    world.add(cli_world.device("amr 07?x#y%2F\u00e9"))

    assert run("device", "show", "amr 07?x#y%2F\u00e9").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["devcie", "list"], "No such command 'devcie'. Did you mean 'device'?"),
        (["zzz"], "No such command 'zzz'."),
        (["device", "lst"], "No such command 'lst'."),
        (["device", "list", "--lable", "a=b"], "No such option '--lable'."),
        (["--tokn", "x", "device", "list"], "No such option '--tokn'."),
        (["device", "show"], "Missing argument 'NAME'."),
    ],
)
def test_misspelt_commands(run, arguments, words):
    ran = run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"shallop: {words}")
    assert ran.err.splitlines()[-1].startswith("Try 'shallop")


def test_nothing_at_all_is_a_question_for_help(run):
    ran = run()

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: shallop ")


def test_version(run):
    assert run("--version").out.startswith("shallop ")


def test_help_lists_every_command(run):
    ran = run("--help")

    assert ran.code == 0
    listed = [line.split()[0] for line in ran.out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert listed[: len(root.COMMANDS)] == list(root.COMMANDS)


OWN = [name for name in root.COMMANDS if name not in ("serve", "demo")]


def test_every_command_has_a_help_with_an_example(run):
    groups = {name: root.shallop.get_command(None, name) for name in OWN}
    leaves = [
        (name, *([sub] if sub else []))
        for name, group in groups.items()
        for sub in (getattr(group, "commands", None) or [""])
    ]

    helps = {leaf: _unindented(run(*leaf, "--help").out) for leaf in leaves}

    assert [leaf for leaf, text in helps.items() if not re.search("Examples?:\n  shallop ", text)] == [("completion",)]
    assert [line for text in helps.values() for line in text.splitlines() if len(line) > 78] == []


def test_no_line_of_a_list_of_commands_is_cut(run):
    listed = {name: run(name, "--help").out.partition("Commands:\n")[2] for name in OWN}

    assert {name: text for name, text in listed.items() if "...\n" in text} == {}


def _unindented(text: str) -> str:
    return "\n".join(line.removeprefix("  ") for line in text.splitlines())


def test_a_command_whose_package_is_missing_says_so(run, monkeypatch):
    monkeypatch.setitem(root.COMMANDS, "demo", root.Lazy("no_such_module", "demo", "See it work."))

    ran = run("demo")

    assert ran.code == 1
    assert ran.err.startswith("shallop: `shallop demo` needs the Python module shallop_cloud.cli.no_such_module")
    assert run("--help").code == 0


def test_help_and_completion_load_nothing_that_is_slow():
    program = """
import sys
from shallop_cloud import cli
cli.main(["--help"]), cli.main(["device", "list", "--help"]), cli.main(["deploy", "--help"])
cli.main(["release", "create", "--help"]), cli.main(["completion", "zsh"])
for each in ("staging", "deployment review", "deployment merge", "deployment patch", "diff", "rollback", "why",
             "audit verify", "export"):
    cli.main([*each.split(), "--help"])
slow = {"httpx", "rich", "yaml", "jsonschema", "pydantic", "fastapi", "sqlalchemy", "paho", "asyncio", "sqlite_utils",
        "sqlite3"}
sys.exit(f"loaded: {slow & sys.modules.keys()}" if slow & sys.modules.keys() else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_is_no_trouble():
    program = "import sys; from shallop_cloud import cli; sys.stdin.read(); sys.exit(cli.main(['--help']))"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1) as process:
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (1, b"")


def test_control_c_ends_with_130(run, world, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(client.Api, "page", interrupted)

    ran = run(*LIST)

    assert ran.code == 130
    assert ran.err.splitlines()[-1] == "shallop: interrupted"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell):
    ran = run("completion", shell)

    assert (ran.code, ran.err) == (0, "")
    assert f"_SHALLOP_COMPLETE={shell}_complete" in ran.out


@dataclasses.dataclass(frozen=True)
class Typed:
    words: str
    last: int


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (Typed("shallop dep", 1), ["deploy", "deployment"]),
        (Typed("shallop device re", 2), ["rename", "restore", "renew-token", "revoke"]),
        (Typed("shallop deployment list --status d", 4), ["drifted", "deployed"]),
    ],
)
def test_completion_offers_what_fits(run, monkeypatch, capsys, typed, offered):
    monkeypatch.setenv("_SHALLOP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed.words)
    monkeypatch.setenv("COMP_CWORD", str(typed.last))

    with pytest.raises(SystemExit) as ended:
        run()

    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == [f"plain,{each}" for each in offered]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--client-certificates", "command"), "--client-certificates command and --sign-csr COMMAND belong together"),
        (("--sign-csr", "sign"), "--client-certificates command and --sign-csr COMMAND belong together"),
        (("--on-credentials", ""), "Invalid value for '--on-credentials': '' cannot be split into words"),
        (("--on-credentials", "a 'b"), "Invalid value for '--on-credentials': \"a 'b\" cannot be split into words"),
        (("--certificate-days", "0"), "Invalid value for '--certificate-days': 0 is not in the range"),
        (("--broker-ca", "/nonexistent"), "Invalid value for '--broker-ca': File '/nonexistent' does not exist"),
    ],
)
def test_serve_refuses_what_cannot_be(run, tmp_path, options, words):
    ran = run("serve", "--data", str(tmp_path / "data"), "--embedded-broker", *options)

    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "data").exists()
