"""Who signs robots' certificates: what of a request is believed, and what a certificate says."""

from __future__ import annotations

import base64
import datetime
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import certificates_world
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509 import oid
from shallop_cloud import authorities, errors
from shallop_cloud.store import certificates
from shallop_cloud.store.database import Database

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
WIRE = "dev-0123456789abcdef"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database with empty tables."""
    directory = tmp_path_factory.mktemp("empty")
    Database.in_directory(directory).close()
    return directory / "shallop.db"


@pytest.fixture
def database(empty: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(empty, tmp_path)
    made = Database.in_directory(tmp_path)
    yield made
    made.close()


@pytest.fixture
def builtin(tmp_path: Path, database: Database) -> authorities.BuiltIn:
    return authorities.BuiltIn.at(tmp_path / "ca", database, days=100)


def common_names(name: x509.Name) -> list[str]:
    return [str(each.value) for each in name.get_attributes_for_oid(oid.NameOID.COMMON_NAME)]


class TestRequests:
    def test_only_the_key_is_believed(self, builtin: authorities.BuiltIn) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        csr = authorities.read_request(certificates_world.request(key, "dev-of-somebody-else"))
        made = x509.load_pem_x509_certificate(builtin.sign(csr, WIRE, NOW).chain.encode())
        assert made.public_key() == key.public_key()
        assert common_names(made.subject) == [WIRE]
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [each.value for each in names] == [f"urn:shallop:{WIRE}"]

    def test_rsa_is_taken_where_it_is_long_enough(self) -> None:
        key = rsa.generate_private_key(65_537, 2_048)
        assert authorities.read_request(certificates_world.request(key)).key == key.public_key()

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: rsa.generate_private_key(65_537, 1_024), "its RSA key has 1024 bits"),
            (lambda: ec.generate_private_key(ec.SECP384R1()), "its key is of another kind"),
            (lambda: ec.generate_private_key(ec.SECP256K1()), "its key is of another kind"),
            (lambda: dsa.generate_private_key(1_024), "its key is of another kind"),
        ],
        ids=["rsa", "p384", "secp256k1", "dsa"],
    )
    def test_other_keys_are_not(self, make, words: str) -> None:
        with pytest.raises(errors.Invalid, match=words) as caught:
            authorities.read_request(certificates_world.request(make()))
        assert (caught.value.status, caught.value.code) == (422, "csr_invalid")

    def test_ed25519_is_not(self) -> None:
        subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "x")])
        made = x509.CertificateSigningRequestBuilder(subject).sign(ed25519.Ed25519PrivateKey.generate(), None)
        text = made.public_bytes(certificates_world.serialization.Encoding.PEM).decode()
        with pytest.raises(errors.Invalid, match="another kind"):
            authorities.read_request(text)

    def test_a_signature_that_is_not_by_its_key(self) -> None:
        lines = certificates_world.request().splitlines()
        der = bytearray(base64.b64decode("".join(lines[1:-1])))
        der[-1] ^= 1  # the end of the signature
        body = base64.encodebytes(bytes(der)).decode()
        with pytest.raises(errors.Invalid, match="its signature is not by its own key"):
            authorities.read_request(f"{lines[0]}\n{body}{lines[-1]}\n")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            certificates_world.signed(),
            certificates_world.request()[:-100],
            "ü" * 100,
        ],
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(errors.Invalid, match="no PKCS #10 request"):
            authorities.read_request(text)

    def test_one_that_is_too_long(self) -> None:
        with pytest.raises(errors.Invalid, match="at most 8192 are taken"):
            authorities.read_request(certificates_world.request() + "\n" * authorities.MAX_REQUEST)


class TestBuiltIn:
    def test_the_first_server_makes_it_and_later_ones_keep_it(self, tmp_path: Path, database: Database) -> None:
        first = authorities.BuiltIn.at(tmp_path / "ca", database)
        again = authorities.BuiltIn.at(tmp_path / "ca", database)
        assert again.certificate == first.certificate
        shown = x509.load_pem_x509_certificate((tmp_path / "ca" / "ca.crt").read_bytes())
        assert shown == first.certificate
        assert shown.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
        assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600

    def test_another_server_needs_its_key_and_gets_its_certificate(self, tmp_path: Path, database: Database) -> None:
        first = authorities.BuiltIn.at(tmp_path / "one", database)
        with pytest.raises(errors.StartupError, match=r"is not there.*copy ca/ca\.key"):
            authorities.BuiltIn.at(tmp_path / "two", database)
        (tmp_path / "two" / "ca.key").write_bytes((tmp_path / "one" / "ca.key").read_bytes())
        assert authorities.BuiltIn.at(tmp_path / "two", database).certificate == first.certificate
        assert (tmp_path / "two" / "ca.crt").read_bytes() == (tmp_path / "one" / "ca.crt").read_bytes()

    @pytest.mark.parametrize("text", ["nonsense", None])
    def test_a_key_that_is_anothers(self, tmp_path: Path, database: Database, text: str | None) -> None:
        authorities.BuiltIn.at(tmp_path / "ca", database)
        (tmp_path / "ca" / "ca.key").write_text(text or authorities._new_key())
        with pytest.raises(errors.StartupError, match=r"ca\.key is (no private key|not the key)"):
            authorities.BuiltIn.at(tmp_path / "ca", database)

    def test_a_certificate_is_verified_by_its_authority_for_a_client_alone(self, builtin: authorities.BuiltIn) -> None:
        signed = builtin.sign(authorities.read_request(certificates_world.request()), WIRE, NOW)
        made = x509.load_pem_x509_certificate(signed.chain.encode())
        made.verify_directly_issued_by(builtin.certificate)
        store = x509.verification.Store([builtin.certificate])
        policy = x509.verification.PolicyBuilder().store(store).time(NOW.replace(tzinfo=None))
        assert policy.build_client_verifier().verify(made, []).chain[-1] == builtin.certificate
        used = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(used) == [oid.ExtendedKeyUsageOID.CLIENT_AUTH]
        assert int(signed.serial, 16) == made.serial_number
        assert made.not_valid_before_utc == NOW - DAY
        assert made.not_valid_after_utc == signed.expires_at == NOW + 100 * DAY

    def test_no_certificate_outlives_the_authority(self, tmp_path: Path, database: Database) -> None:
        builtin = authorities.BuiltIn.at(tmp_path / "ca", database, days=36_000)
        late = builtin.certificate.not_valid_after_utc - DAY
        signed = builtin.sign(authorities.read_request(certificates_world.request()), WIRE, late)
        assert signed.expires_at == builtin.certificate.not_valid_after_utc


class TestRevocationList:
    def listed(self, builtin: authorities.BuiltIn) -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl((builtin.directory / "crl.pem").read_bytes())

    def test_it_is_written_when_it_changes_and_when_it_is_old(self, builtin: authorities.BuiltIn) -> None:
        revoked = [certificates.Revoked("ab12", NOW)]
        assert builtin.write_list([], NOW)
        assert list(self.listed(builtin)) == []
        assert not builtin.write_list([], NOW + DAY)
        assert builtin.write_list(revoked, NOW + DAY)
        found = self.listed(builtin)
        assert [each.serial_number for each in found] == [0xAB12]
        assert found.is_signature_valid(builtin.certificate.public_key())
        assert not builtin.write_list(revoked, NOW + 2 * DAY)
        assert builtin.write_list(revoked, NOW + authorities.LIST_AGE + 2 * DAY)
        assert self.listed(builtin).next_update_utc > NOW + 370 * DAY
        assert builtin.write_list([], NOW + 20 * DAY)
        assert list(self.listed(builtin)) == []

    def test_each_has_a_higher_number(self, builtin: authorities.BuiltIn) -> None:
        numbers = []
        for hours in range(3):
            builtin.write_list([certificates.Revoked(f"{hours + 1:x}", NOW)], NOW + datetime.timedelta(hours=hours))
            number = self.listed(builtin).extensions.get_extension_for_class(x509.CRLNumber).value
            numbers.append(number.crl_number)
        assert sorted(set(numbers)) == numbers


SIGNER = """
import datetime, os, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
request = x509.load_pem_x509_csr(sys.stdin.buffer.read())
key = ec.generate_private_key(ec.SECP256R1())
named = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
subject = named(sys.argv[1] if len(sys.argv) > 1 else os.environ["SHALLOP_DEVICE"])
builder = x509.CertificateBuilder(named("ours"), subject, request.public_key(), 7, now - day, now + day)
made = builder.sign(key, hashes.SHA256())
sys.stdout.buffer.write(made.public_bytes(serialization.Encoding.PEM))
"""


class TestCommand:
    @pytest.fixture
    def signer(self, tmp_path: Path) -> list[str]:
        (tmp_path / "sign.py").write_text(SIGNER)
        return [sys.executable, str(tmp_path / "sign.py")]

    def sign(self, command: list[str], within_s: float = 20) -> authorities.Signed:
        csr = authorities.read_request(certificates_world.request())
        return authorities.Command(command, within_s).sign(csr, WIRE, NOW)

    def test_it_gets_the_request_and_the_name_and_gives_a_chain(self, signer: list[str]) -> None:
        signed = self.sign(signer)
        made = x509.load_pem_x509_certificate(signed.chain.encode())
        assert (common_names(made.subject), signed.serial) == ([WIRE], "7")

    def test_what_it_gives_beside_certificates_is_left_out(self, signer: list[str]) -> None:
        loud = ["sh", "-c", f"echo Signature ok; {shlex.join(signer)}"]
        assert self.sign(loud).chain.startswith("-----BEGIN CERTIFICATE-----")

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("exit 1", "ended with code 1"),
            ("sleep 60", "did not end within"),
            ("yes", "wrote more than"),
            ("cat", "gave no certificate in PEM"),
            (f"echo '{certificates_world.signed()}'", "gave a certificate of another key"),
        ],
    )
    def test_what_goes_wrong_can_be_asked_again(self, script: str, words: str) -> None:
        with pytest.raises(errors.Problem, match=f"{words}.*ask again") as caught:
            self.sign(["sh", "-c", script], 0.5 if "sleep" in script else 20)
        assert (caught.value.status, caught.value.code) == (503, "certificate_unavailable")

    def test_a_robot_does_not_choose_whose_certificate_it_gets(self, signer: list[str]) -> None:
        with pytest.raises(errors.Problem, match=f"a certificate of dev-b; its common name must be {WIRE}"):
            self.sign([*signer, "dev-b"])


def test_hashes_of_requests_may_differ() -> None:
    assert authorities.read_request(certificates_world.request(digest=hashes.SHA512()))
