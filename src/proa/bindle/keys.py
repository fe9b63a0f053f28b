"""Keyrings (whom to trust) and secret keys (who one is), in the reference implementation's files.

A keyring is TOML with `version = "1.0"` and `[[key]]` tables of `label`, `roles`, base64 `key` and optionally
`labelSignature`; a file of secret keys has `keypair` (base64 of seed and public key) instead and is written
0600. Values are pure; `load` and `save` block: call them in a thread.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from proa.bindle.errors import InvalidInvoiceError, KeyFileError
from proa.bindle.invoice import Document, Role, decode, encode

__all__ = ("Keyring", "PublicKey", "SecretKey", "SecretKeys")

T = TypeVar("T")

_FIELD: Final = 2**255 - 19
# The y coordinates of the points of small order: of order 4, 1, 8, 8 and 2, and the first two written longer.
_Y8: Final = 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _Y8, _FIELD - _Y8, _FIELD - 1, _FIELD, _FIELD + 1})


def is_small_order(encoded: bytes) -> bool:
    """Whether 32 bytes encode a point with which signatures can be made to fit any message."""
    return int.from_bytes(encoded, "little") & (2**255 - 1) in _SMALL_ORDER


def from_base64(text: str, length: int) -> bytes | None:
    """Return the bytes, or None where the text is not base64 of that many."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) == length else None


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the Ed25519 signature fits, strictly: keys and nonces of small order never do."""
    if is_small_order(key) or is_small_order(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class PublicKey(Document, frozen=True, kw_only=True):
    """A key to trust.

    Attributes:
        label: whose it is.
        roles: in which roles it signs.
        key: base64 of the Ed25519 public key.
        label_signature: base64 of the key's own signature of the label.
    """

    label: str
    roles: list[Role]
    key: str
    label_signature: str | None = None

    def __post_init__(self) -> None:
        if from_base64(self.key, 32) is None:
            raise ValueError(f"the key of {self.label!r} is not base64 of 32 bytes")

    def label_is_signed(self) -> bool:
        """Whether the key's owner has vouched for the label; False also where there is no such signature."""
        signature = from_base64(self.label_signature or "", 64)
        key = from_base64(self.key, 32)
        return signature is not None and key is not None and verify(key, signature, self.label.encode())


class Keyring(Document, frozen=True, kw_only=True):
    """Keys to trust. Immutable: `adding` returns a larger one."""

    version: Literal["1.0"]
    key: list[PublicKey] = []  # noqa: RUF012 - msgspec copies it

    @classmethod
    def of(cls, *keys: PublicKey) -> "Keyring":
        """Make one of these keys."""
        return cls(version="1.0", key=list(keys))

    def find(self, key: str) -> PublicKey | None:
        """Return the entry of a public key (base64)."""
        return next((entry for entry in self.key if entry.key == key), None)

    def adding(self, keys: Iterable[PublicKey]) -> "Keyring":
        """Return a keyring with these, too; of a key that is there already the entry stays.

        Raises:
            KeyFileError: a key carries a signature of its label that does not fit.
        """
        merged = {entry.key: entry for entry in self.key}
        for entry in keys:
            if entry.label_signature is not None and not entry.label_is_signed():
                raise KeyFileError(f"the key labelled {entry.label!r} does not vouch for that label")
            merged.setdefault(entry.key, entry)
        return Keyring.of(*merged.values())

    @classmethod
    def load(cls, path: Path, *, missing_ok: bool = False) -> "Keyring":
        """Read a keyring.

        Args:
            path: the file.
            missing_ok: take a file that is not there for an empty keyring.

        Raises:
            KeyFileError: the file can't be used; says why.
        """
        content = _read(path, missing_ok=missing_ok)
        return cls.of() if content is None else _decoded(path, content, cls)

    def save(self, path: Path) -> None:
        """Write the keyring, atomically."""
        write_file(path, encode(self), 0o644)


class SecretKey(Document, frozen=True, kw_only=True):
    """A key to sign with. Its `repr` shows no secret.

    Attributes:
        label: whose it is, usually `Name <address>`.
        roles: in which roles it may sign.
        keypair: base64 of the 32 bytes of the seed and the 32 of the public key.
    """

    label: str
    roles: list[Role]
    keypair: str

    def __post_init__(self) -> None:
        pair = from_base64(self.keypair, 64)
        if pair is None:
            raise ValueError(f"the keypair of {self.label!r} is not base64 of 64 bytes")
        if _public_bytes(Ed25519PrivateKey.from_private_bytes(pair[:32])) != pair[32:]:
            raise ValueError(f"the two halves of the keypair of {self.label!r} do not belong together")

    def __repr__(self) -> str:
        return f"SecretKey(label={self.label!r}, roles={self.roles!r}, keypair='********')"

    @classmethod
    def generate(cls, label: str, roles: Iterable[Role] = ("creator",)) -> "SecretKey":
        """Make a new key."""
        seed = secrets.token_bytes(32)
        pair = seed + _public_bytes(Ed25519PrivateKey.from_private_bytes(seed))
        return cls(label=label, roles=list(roles), keypair=base64.b64encode(pair).decode())

    def sign(self, message: bytes) -> str:
        """Return base64 of the Ed25519 signature."""
        return base64.b64encode(self._private().sign(message)).decode()

    def public(self) -> PublicKey:
        """Return the half that others need, with the label signed."""
        key = base64.b64encode(_public_bytes(self._private())).decode()
        return PublicKey(
            label=self.label, roles=self.roles, key=key, label_signature=self.sign(self.label.encode())
        )

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.keypair)[:32])


class SecretKeys(Document, frozen=True, kw_only=True):
    """Keys to sign with. Immutable: `adding` returns a larger one."""

    version: Literal["1.0"]
    key: list[SecretKey] = []  # noqa: RUF012 - msgspec copies it

    @classmethod
    def of(cls, *keys: SecretKey) -> "SecretKeys":
        """Make one of these keys."""
        return cls(version="1.0", key=list(keys))

    def find(self, role: Role, label: str | None = None) -> SecretKey:
        """Return the key to sign with in a role: the newest that has it, of that label if one is given.

        The newest is the last in the file, so that a key is rotated by appending another.

        Raises:
            KeyFileError: there is none.
        """
        for key in reversed(self.key):
            if role in key.roles and label in {None, key.label}:
                return key
        whose = f" labelled {label!r}" if label else ""
        raise KeyFileError(f"there is no secret key{whose} for the role {role}")

    def adding(self, key: SecretKey) -> "SecretKeys":
        """Return the keys and this one."""
        return SecretKeys.of(*self.key, key)

    @classmethod
    def load(cls, path: Path, *, missing_ok: bool = False) -> "SecretKeys":
        """Read secret keys.

        Args:
            path: the file.
            missing_ok: take a file that is not there for one without keys.

        Raises:
            KeyFileError: the file can't be used, or others may read it; says what to do.
        """
        content = _read(path, missing_ok=missing_ok)
        if content is None:
            return cls.of()
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others than its owner; run: chmod 600 {path}")
        return _decoded(path, content, cls)

    def save(self, path: Path) -> None:
        """Write the keys, atomically, for the owner's eyes only."""
        write_file(path, encode(self), 0o600)


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _read(path: Path, *, missing_ok: bool) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return None
        raise KeyFileError(f"can't read {path}: {error.strerror or error}") from None


def _decoded(path: Path, content: bytes, kind: type[T]) -> T:
    try:
        return decode(content, "toml", kind)
    except InvalidInvoiceError as error:
        raise KeyFileError(f"{path} can't be used: {error}") from None


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file atomically, with permissions that it has from the first byte on.

    Raises:
        KeyFileError: the disk refused.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise KeyFileError(f"can't write {path}: {error.strerror or error}") from None
