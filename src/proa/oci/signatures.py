"""Signatures of images, as cosign stores them with a key: beside the image, in the same repository.

The manifest at the tag `sha256-HEX.sig` has a layer for each signature: a document that names the digest of
the image, and in an annotation what a private key made of that document. Keyless signatures (by certificates
and transparency logs) are not looked at. The formats are those of
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from proa.oci.client import RegistryClient
from proa.oci.errors import InvalidCredentialsError, ManifestNotFoundError, UnsignedImageError
from proa.oci.manifest import MANIFEST_LIMIT, Descriptor, ImageManifest
from proa.oci.reference import Reference
from proa.oci.store import BlobStore

__all__ = ("SIGNATURE", "SignaturePolicy", "is_note", "signature_reference")

SIGNATURE: Final = "dev.cosignproject.cosign/signature"
PAYLOAD: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
_NOTE: Final = "signed:"
_KIND: Final = "cosign container image signature"

Key = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class _Image(msgspec.Struct):
    docker_manifest_digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct):
    image: _Image
    type: str


class _Payload(msgspec.Struct):
    critical: _Critical


class SignaturePolicy:
    """Which images may be run: those that one of some keys has signed.

    Args:
        keys: public keys (PEM): ECDSA as `cosign generate-key-pair` makes them, RSA, or Ed25519.

    Raises:
        InvalidCredentialsError: one is no such key.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        given = list(keys)
        self._keys = [_load(pem) for pem in given]
        self.name = hashlib.sha256(b"\0".join(sorted(given))).hexdigest()[:16]
        """Another one for other keys."""

    @classmethod
    async def load(cls, paths: Iterable[Path]) -> "SignaturePolicy":
        """Read the keys from files; raises InvalidCredentialsError."""
        try:
            return cls([await asyncio.to_thread(path.read_bytes) for path in paths])
        except OSError as error:
            raise InvalidCredentialsError(f"cannot read the key {error.filename}: {error.strerror}") from None

    async def check(
        self, client: RegistryClient, reference: Reference, digest: str, store: BlobStore
    ) -> None:
        """Let an image pass.

        What was found good once is remembered in `store`, and not asked for again.

        Args:
            client: how the registry is reached.
            reference: the image; its registry and repository are where signatures are looked for.
            digest: what the reference means: of its manifest or index.
            store: where the documents are kept.

        Raises:
            UnsignedImageError: no signature of one of the keys is there.
            RegistryError: the registry cannot be asked.
        """
        checked = f"{_NOTE}{self.name}:{digest}"
        if await store.linked(checked) == digest:
            return
        try:
            manifest = (await client.get_manifest(signature_reference(reference, digest))).document
        except ManifestNotFoundError:
            raise UnsignedImageError(f"{reference} ({digest}) is not signed") from None
        layers = manifest.layers if isinstance(manifest, ImageManifest) else []
        for layer in layers:
            if layer.media_type == PAYLOAD and layer.size <= MANIFEST_LIMIT:
                await client.pull_blob(reference, layer, store)
                if self._is_good(layer, await store.read(layer.digest), digest):
                    await store.link(checked, digest)
                    return
        raise UnsignedImageError(f"{reference} ({digest}) has no signature of a key that is trusted here")

    def _is_good(self, layer: Descriptor, content: bytes, digest: str) -> bool:
        try:
            signature = base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True)
            critical = msgspec.json.decode(content, type=_Payload).critical
        except (binascii.Error, msgspec.DecodeError):
            return False
        named = (critical.type, critical.image.docker_manifest_digest)
        return named == (_KIND, digest) and any(_verifies(key, signature, content) for key in self._keys)


def signature_reference(reference: Reference, digest: str) -> Reference:
    """Return where the signatures of an image are."""
    return Reference(reference.registry, reference.repository, f"{digest.replace(':', '-')}.sig", None)


def is_note(name: str) -> bool:
    """Whether a link in the store is no image but a note that one was found good."""
    return name.startswith(_NOTE)


def _load(pem: bytes) -> Key:
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidCredentialsError("a key of the signature policy is no public key in PEM") from error
    if not isinstance(key, Key):
        raise InvalidCredentialsError("a key of the signature policy is neither ECDSA, RSA nor Ed25519")
    return key


def _verifies(key: Key, signature: bytes, content: bytes) -> bool:
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
            case ed25519.Ed25519PublicKey():
                key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
