"""A server certificate that signs itself: the API server is told to trust exactly this one."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes
    expires: datetime

    @classmethod
    def of(cls, certificate: bytes, key: bytes) -> Certificate:
        """Read one; raises ValueError if it is none."""
        from cryptography import x509

        return cls(certificate, key, x509.load_pem_x509_certificate(certificate).not_valid_after_utc)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let a server use it from the next handshake on; reads and writes files, briefly."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "tls.pem")
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.certificate + self.key)
            context.load_cert_chain(path)


def issue(hosts: Sequence[str], lifetime: timedelta) -> Certificate:
    """Make a certificate for the hosts, names or addresses; takes a few milliseconds."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own: of two trusted certificates with one name, OpenSSL may try the wrong one only.
    attributes = [(x509.NameOID.COMMON_NAME, hosts[0][:64]), (x509.NameOID.SERIAL_NUMBER, str(serial))]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        now + lifetime,
    )


def _general(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
