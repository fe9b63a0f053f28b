"""Content digests as the OCI image specification writes them: `sha256:` or `sha512:` and lower-case hex."""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proa.oci.errors import InvalidDigestError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ("check", "hasher", "of", "of_file", "split")

_HEX_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)", re.ASCII)


def split(digest: str) -> tuple[str, str]:
    """Return the algorithm and the hex part of `digest`.

    What it returns is safe as a file name: a known algorithm and exactly as many hex digits as it has.

    Raises:
        InvalidDigestError: not a digest, or of an algorithm other than sha256 and sha512.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidDigestError(f"{digest[:100]!r} is not a digest: expected sha256:<64 hex digits>")
    algorithm, encoded = match.groups()
    length = _HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidDigestError(
            f"digest algorithm {algorithm[:20]!r} is not supported: use sha256 or sha512"
        )
    if re.fullmatch(r"[0-9a-f]+", encoded) is None or len(encoded) != length:
        raise InvalidDigestError(
            f"a {algorithm} digest has {length} lower-case hex digits, not {encoded[:140]!r}"
        )
    return algorithm, encoded


def check(digest: str) -> str:
    """Return `digest` itself if it is valid.

    Raises:
        InvalidDigestError: it is not.
    """
    split(digest)
    return digest


def hasher(digest: str) -> "_Hash":
    """Return a fresh hash object of the algorithm of `digest`."""
    return hashlib.new(split(digest)[0])


def of(content: bytes) -> str:
    """Return the sha256 digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of the file at `path`. Blocks: call it in a thread."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
