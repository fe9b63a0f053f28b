"""The certificates by which the Ingress server answers, chosen by the host that a client asks for."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proa.controlplane.network._ingress_rules import matches_host
from proa.kube.models import now
from proa.kube.models.core_v1 import Secret
from proa.kube.models.networking_v1 import Ingress

LIFETIME = timedelta(days=30)
CERTIFICATE, KEY = "tls.crt", "tls.key"

Named: TypeAlias = tuple[str, ssl.SSLContext]


class UnusableSecretError(ValueError):
    """The Secret holds no certificate with its key; the message says why."""


class Certificates:
    """Chooses among Ingresses' certificates; who asks for another host gets a self-signed one.

    Takes some milliseconds to make, as a key is generated.
    """

    def __init__(self) -> None:
        self._hosts: list[Named] = []
        self.context = _context(*_self_signed())
        self.context.sni_callback = self._choose

    def update(self, hosts: Iterable[Named]) -> None:
        """Answer with these certificates from now on; of several for a host the first counts."""
        self._hosts = list(hosts)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        host = (name or "").lower()
        for pattern, context in self._hosts:
            if matches_host(pattern, host):
                connection.context = context
                return


def wanted_secrets(ingresses: Iterable[Ingress]) -> list[tuple[str, str, str]]:
    """Return host pattern, namespace and Secret of each host to be served over TLS; exact hosts first."""
    found = [
        (host, ingress.metadata.namespace or "", entry.secret_name)
        for ingress in ingresses
        for entry in ingress.spec.tls
        if entry.secret_name
        for host in entry.hosts or [rule.host or "" for rule in ingress.spec.rules]
    ]
    return sorted(found, key=lambda one: (not one[0], one[0].startswith("*"), one))


def context_of(secret: Secret) -> ssl.SSLContext:
    """Return the context that answers with a Secret's certificate.

    Raises:
        UnusableSecretError: There is none, or it does not go with its key.
    """
    try:
        return _context(secret.data[CERTIFICATE], secret.data[KEY])
    except KeyError as error:
        raise UnusableSecretError(f"it has no {error.args[0]}") from error
    except (ssl.SSLError, OSError) as error:
        raise UnusableSecretError(
            f"{CERTIFICATE} and {KEY} are no certificate with its key: {error}"
        ) from error


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL reads keys from files only; this one is in memory, and gone when it has been read.
    with closing(os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb", buffering=0)) as file:
        file.write(certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proa ingress")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("*.default.localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(hours=1))
        .not_valid_after(now() + LIFETIME)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
