"""The TLS side of the kubelet's server: its own certificate, and whom it believes."""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proa.kubelet._settings import KubeletSettings
from proa.kubelet.errors import KubeletError

_VALID: Final = datetime.timedelta(days=365)
_RENEW_BEFORE: Final = datetime.timedelta(days=30)


def ssl_context(settings: KubeletSettings, cluster_ca: bytes | None) -> ssl.SSLContext:
    """TLS for the server; blocks.

    A client may show a certificate; if it does, it must be of the client CA. Without any client CA no
    client can show who it is.

    Args:
        settings: Which files to use.
        cluster_ca: The CA of the kubeconfig (PEM), for when the settings name none.

    Raises:
        KubeletError: A file cannot be read or is no certificate or key.
    """
    certificate, key = settings.tls_cert_file, settings.tls_private_key_file
    signed = settings.data_dir / "pki" / "kubelet-server.pem"
    if settings.server_tls_bootstrap and signed.exists():
        certificate = key = signed
    if certificate is None or key is None:
        certificate, key = self_signed(settings.data_dir / "pki", settings.name, settings.address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        authorities = (
            settings.client_ca_file.read_text() if settings.client_ca_file else (cluster_ca or b"").decode()
        )
        if authorities:
            context.load_verify_locations(cadata=authorities)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        raise KubeletError(
            f"kubelet: cannot use the TLS files {certificate}, {key}, client CA: {error}"
        ) from error
    return context


def self_signed(directory: Path, name: str, address: str) -> tuple[Path, Path]:
    """A certificate and key for the node, made if there is none that is good for some time; blocks."""
    certificate, key = directory / "kubelet.crt", directory / "kubelet.key"
    if not _usable(certificate, key, name, address):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_key = ec.generate_private_key(ec.SECP256R1())
        write_private(key, key_pem(private_key))
        write_private(
            certificate, _certificate(private_key, name, address).public_bytes(serialization.Encoding.PEM)
        )
    return certificate, key


def _usable(certificate: Path, key: Path, name: str, address: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        same_key = (
            serialization.load_pem_private_key(key.read_bytes(), None).public_key() == found.public_key()
        )
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return same_key and left > _RENEW_BEFORE and names == _names(name, address)


def _certificate(key: ec.EllipticCurvePrivateKey, name: str, address: str) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{name}"[:64]),
        ]
    )
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALID)
        .add_extension(_names(name, address), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(name: str, address: str) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    try:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    except ValueError:
        names.append(x509.DNSName(address))
    return x509.SubjectAlternativeName(names)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as text, not encrypted."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def write_private(path: Path, content: bytes) -> None:
    """Put content in a file that nobody else can read, all at once; blocks."""
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123
        file.write(content)
    unfinished.replace(path)
