"""The cluster's certificate authority and what it signs, kept in a directory across restarts.

Files, all 0600: `ca.crt` and `ca.key`; `apiserver.crt` and `.key` (made anew when the addresses change or
a third of its life is left); `kubelet-client.crt` and `.key` (the API server's own identity towards
kubelets); `admin.crt` and `.key` (the administrator's); `sa.key` (signs service-account tokens).
`cryptography` is loaded only when something has to be made; `begin_making` does that elsewhere.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proa.controlplane._errors import ControlPlaneError
from proa.controlplane._json import UnreadableError, decode, encode

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_BEFORE_SECONDS = LEAF_DAYS * 24 * 3600 / 3
CLUSTER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
ADMINISTRATOR = "admin"


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


class Pki:
    """Certificates of one cluster, in `directory`. Making a missing CA or leaf takes some milliseconds.

    Raises:
        ControlPlaneError: The directory cannot be written, or a file in it is damaged.
    """

    def __init__(self, directory: Path, hosts: Sequence[str]) -> None:
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (directory / "ca.crt").exists():
                self._make_ca()
            if not (directory / "sa.key").exists():
                write_private(directory / "sa.key", _pem_key(_new_key()))
            self._ensure_leaf("apiserver", "kube-apiserver", (), [*CLUSTER_NAMES, *hosts])
            for name in (KUBELET_CLIENT, ADMINISTRATOR):
                self._ensure_leaf(name, name, ("system:masters",), [])
            self._service_account_key = (directory / "sa.key").read_bytes()
        except (OSError, ValueError) as error:
            message = f"cannot use the certificates in {directory}: {error}; repair or remove the directory"
            raise ControlPlaneError(message) from error

    @classmethod
    def is_complete(cls, directory: Path, hosts: Sequence[str]) -> bool:
        """Whether nothing has to be made."""
        leaves = {"apiserver": sorted({*CLUSTER_NAMES, *hosts}), KUBELET_CLIENT: [], ADMINISTRATOR: []}
        there = all((directory / name).exists() for name in ("ca.crt", "sa.key"))
        return there and all(_is_current(directory, name, names) for name, names in leaves.items())

    @property
    def administrator(self) -> Issued:
        """Who may do everything."""
        certificate, key = (self.directory / f"{ADMINISTRATOR}.{part}" for part in ("crt", "key"))
        return Issued(certificate.read_bytes(), key.read_bytes())

    @property
    def ca_certificate(self) -> bytes:
        """The certificate that clients trust, PEM."""
        return (self.directory / "ca.crt").read_bytes()

    @property
    def service_account_key(self) -> bytes:
        """The key that signs tokens, PEM."""
        return self._service_account_key

    def server_context(self) -> ssl.SSLContext:
        """TLS for the server; clients may present certificates of the cluster's CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        self._load(context, "apiserver")
        return context

    def kubelet_context(self) -> ssl.SSLContext:
        """TLS towards kubelets, as the API server's own identity. Their certificates are mostly
        self-signed: not verified.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._load(context, KUBELET_CLIENT)
        return context

    def _load(self, context: ssl.SSLContext, name: str) -> None:
        try:
            context.load_verify_locations(self.directory / "ca.crt")
            context.load_cert_chain(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        except (ssl.SSLError, OSError) as error:
            message = (
                f"cannot use the certificates in {self.directory}: {error}; repair or remove the directory"
            )
            raise ControlPlaneError(message) from error

    def issue_client(self, user: str, groups: Iterable[str]) -> Issued:
        """A client certificate: the user is its common name, the groups are its organisations."""
        return self._issue(user, tuple(groups), [])

    def sign(self, request: x509.CertificateSigningRequest, usages: Sequence[str], seconds: int) -> bytes:
        """A certificate (PEM) for a request, with its subject and names, good for some time; takes a few
        milliseconds.
        """
        from cryptography import x509

        ca, ca_key = self._authority()
        builder = _builder(request.subject, ca.subject, request.public_key(), timedelta(seconds=seconds))
        builder = _with_leaf_extensions(builder, ca)
        purposes = {
            "server auth": x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,
            "client auth": x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH,
        }
        wanted = [purpose for name, purpose in purposes.items() if name in usages]
        if wanted:
            builder = builder.add_extension(x509.ExtendedKeyUsage(wanted), critical=False)
        for extension in request.extensions:
            if extension.oid == x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
                builder = builder.add_extension(extension.value, critical=False)
        return _sign(builder, ca_key)

    def _authority(self) -> tuple[x509.Certificate, Any]:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        ca = x509.load_pem_x509_certificate(self.ca_certificate)
        return ca, load_pem_private_key((self.directory / "ca.key").read_bytes(), None)

    def _make_ca(self) -> None:
        from cryptography import x509

        key = _new_key()
        name = _name("proa-ca", ())
        builder = _builder(name, name, key.public_key(), timedelta(days=CA_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        builder = builder.add_extension(_usage(signs=True), critical=True)
        write_private(self.directory / "ca.key", _pem_key(key))
        write_private(self.directory / "ca.crt", _sign(builder, key))

    def _ensure_leaf(self, name: str, user: str, groups: tuple[str, ...], hosts: list[str]) -> None:
        wanted = sorted(set(hosts))
        if not _is_current(self.directory, name, wanted):
            issued = self._issue(user, groups, wanted)
            write_private(self.directory / f"{name}.key", issued.key)
            write_private(self.directory / f"{name}.crt", issued.certificate)
            about = {"hosts": wanted, "renew_at": time.time() + LEAF_DAYS * 24 * 3600 - RENEW_BEFORE_SECONDS}
            write_private(self.directory / f"{name}.json", encode(about))

    def _issue(self, user: str, groups: tuple[str, ...], hosts: list[str]) -> Issued:
        from cryptography import x509

        ca, ca_key = self._authority()
        key = _new_key()
        lifetime = timedelta(days=LEAF_DAYS)
        builder = _builder(_name(user, groups), ca.subject, key.public_key(), lifetime)
        builder = _with_leaf_extensions(builder, ca)
        uses = x509.oid.ExtendedKeyUsageOID
        purpose = uses.SERVER_AUTH if hosts else uses.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return Issued(_sign(builder, ca_key), _pem_key(key))


def begin_making(directory: Path, hosts: Sequence[str]) -> int | None:
    """Begin to make what is missing, in a copy of this process, which takes the memory for that with it.

    Returns the copy's pid, which is to be waited for, or None if there is nothing to do. If it fails, `Pki`
    meets the same trouble and tells of it.
    """
    if Pki.is_complete(directory, hosts):
        return None
    pid = os.fork()
    if not pid:
        try:
            Pki(directory, hosts)
        finally:
            os._exit(0)
    return pid


def _is_current(directory: Path, name: str, hosts: list[str]) -> bool:
    try:
        about: Any = decode((directory / f"{name}.json").read_bytes())
    except (OSError, UnreadableError):
        return False
    return type(about) is dict and about.get("hosts") == hosts and about.get("renew_at", 0) > time.time()


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem_key(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common: str, organisations: Iterable[str]) -> x509.Name:
    from cryptography import x509

    parts = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in organisations]
    return x509.Name([*parts, x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: Any, lifetime: timedelta
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + lifetime)
    )


def _with_leaf_extensions(builder: x509.CertificateBuilder, ca: x509.Certificate) -> x509.CertificateBuilder:
    from cryptography import x509

    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    return builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()),  # type: ignore[arg-type]
        critical=False,
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: Any) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _alternative(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: proa
contexts:
- name: proa
  context:
    cluster: proa
    user: {user}
clusters:
- name: proa
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


def kubeconfig(server: str, ca: bytes, user: str, issued: Issued) -> bytes:
    """A kubeconfig for one user of one cluster, with everything in it; YAML."""
    data = {
        name: base64.b64encode(text).decode()
        for name, text in {"ca": ca, "certificate": issued.certificate, "key": issued.key}.items()
    }
    # A text in JSON's quotes is one in YAML's, whatever is in it.
    return _KUBECONFIG.format(server=server, user=encode(user).decode(), **data).encode()
