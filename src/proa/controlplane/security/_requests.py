"""Certificate requests (PKCS #10): what they ask for, and which of the built-in signers may sign them. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
_NODES = ("system:nodes",)
_NODE = "system:node:"
_COMMON = frozenset({"digital signature", "key encipherment"})


class UnreadableRequestError(ValueError):
    """The bytes are no certificate request, or it is not signed with its own key."""


@dataclass(frozen=True)
class CertificateRequest:
    """Who the certificate shall be for."""

    common_name: str
    organisations: tuple[str, ...]
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    others: int
    """How many alternative names are e-mail addresses, URIs or the like."""
    encoded: x509.CertificateSigningRequest

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names and addresses that a server may have."""
        return (*self.dns_names, *self.addresses)


def read_request(text: str) -> CertificateRequest:
    """The request that an object's `spec.request` holds: PEM, in base64.

    Raises:
        UnreadableRequestError: It is none.
    """
    from cryptography import x509

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(text, validate=True))
        signed = request.is_signature_valid
    except (binascii.Error, ValueError, TypeError) as error:
        raise UnreadableRequestError("must be a PEM block of type CERTIFICATE REQUEST") from error
    if not signed:
        raise UnreadableRequestError("its signature is not made with its own key")
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    dns = tuple(names.get_values_for_type(x509.DNSName))
    addresses = tuple(map(str, names.get_values_for_type(x509.IPAddress)))
    return CertificateRequest(
        "".join(_attribute(request, x509.NameOID.COMMON_NAME)[:1]),
        tuple(_attribute(request, x509.NameOID.ORGANIZATION_NAME)),
        dns,
        addresses,
        len(list(names)) - len(dns) - len(addresses),
        request,
    )


def _attribute(request: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(one.value) for one in request.subject.get_attributes_for_oid(oid)]


def objection(signer: str, request: CertificateRequest, usages: Sequence[str]) -> str:
    """Why a built-in signer does not sign a request; empty if it does."""
    match signer:
        case "kubernetes.io/kube-apiserver-client":
            return _wrong_usages(usages, "client auth")
        case "kubernetes.io/kube-apiserver-client-kubelet":
            if request.hosts or request.others:
                return "alternative names are not allowed"
            return _not_a_node(request) or _wrong_usages(usages, "client auth")
        case "kubernetes.io/kubelet-serving":
            if not request.hosts:
                return "at least one DNS name or IP address is required"
            if request.others:
                return "alternative names other than DNS names and IP addresses are not allowed"
            return _not_a_node(request) or _wrong_usages(usages, "server auth")
    return ""


def _not_a_node(request: CertificateRequest) -> str:
    if request.organisations != _NODES:
        return "the organisation must be system:nodes"
    return "" if request.common_name.startswith(_NODE) else "the common name must begin with system:node:"


def _wrong_usages(usages: Sequence[str], purpose: str) -> str:
    given = set(usages)
    if purpose in given and "digital signature" in given and given <= _COMMON | {purpose}:
        return ""
    return f"the usages must be digital signature, {purpose} and perhaps key encipherment"
