"""Images that are signed with cosign's keys, and those that are not."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from proa.oci import (
    BlobStore,
    InvalidCredentialsError,
    Reference,
    RegistryClient,
    SignaturePolicy,
    UnsignedImageError,
    push_module,
)
from proa.oci.testing import RunningRegistry, sign_image

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def public(key: Private) -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind)


def sign(key: Private, content: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(content, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PrivateKey():
            return key.sign(content)


@pytest.fixture
async def image(registry: RunningRegistry, client: RegistryClient, module: Path) -> tuple[Reference, str]:
    reference = registry.reference("hello:1")
    return reference, await push_module(client, module, reference)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["ecdsa", "rsa", "ed25519"],
)
async def test_a_signed_image_passes_and_is_not_looked_up_again(
    key: Private, image: tuple[Reference, str], client: RegistryClient, registry: RunningRegistry,
    store: BlobStore,
) -> None:  # fmt: skip
    reference, digest = image
    await sign_image(client, reference, digest, lambda content: sign(key, content))
    policy = SignaturePolicy([public(ec.generate_private_key(ec.SECP256R1())), public(key)])
    await policy.check(client, reference, digest, store)
    asked = len(registry.faults.requests)
    await policy.check(client, reference, digest, store)
    assert len(registry.faults.requests) == asked


async def test_what_is_not_signed_by_the_key_is_refused(
    image: tuple[Reference, str], client: RegistryClient, store: BlobStore
) -> None:
    reference, digest = image
    trusted, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    policy = SignaturePolicy([public(trusted)])
    with pytest.raises(UnsignedImageError, match="is not signed"):
        await policy.check(client, reference, digest, store)
    await sign_image(client, reference, digest, lambda content: sign(other, content))
    with pytest.raises(UnsignedImageError, match="no signature of a key"):
        await policy.check(client, reference, digest, store)


async def test_a_good_signature_of_another_image_is_refused(
    image: tuple[Reference, str], client: RegistryClient, store: BlobStore
) -> None:
    reference, digest = image
    key = ec.generate_private_key(ec.SECP256R1())

    def of_another(content: bytes) -> bytes:
        return sign(key, content)

    await sign_image(client, reference, digest, of_another, claimed="sha256:" + "0" * 64)
    with pytest.raises(UnsignedImageError):
        await SignaturePolicy([public(key)]).check(client, reference, digest, store)


async def test_garbage_in_the_place_of_a_signature_is_refused(
    image: tuple[Reference, str], client: RegistryClient, store: BlobStore
) -> None:
    reference, digest = image
    await sign_image(client, reference, digest, lambda _: b"garbage")
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(UnsignedImageError):
        await SignaturePolicy([public(key)]).check(client, reference, digest, store)


async def test_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("nonsense")
    for path in ("key", "none"):
        with pytest.raises(InvalidCredentialsError):
            await SignaturePolicy.load([tmp_path / path])
