"""Image references: `registry/repository:tag@digest`, by the grammar of Docker's and the OCI's distribution.

Short names get Docker's defaults: `hello` is `docker.io/library/hello:latest`. Everything here is pure.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self

from proa.oci import digest as digests
from proa.oci.errors import InvalidDigestError, InvalidReferenceError

__all__ = ("DEFAULT_REGISTRY", "DEFAULT_TAG", "Reference", "is_loopback", "is_repository", "is_tag")

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_MAX_LENGTH: Final = 255

_HOST_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(
    rf"(?P<host>{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[(?P<ipv6>[0-9a-fA-F:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is: a registry, a repository in it, and a tag, a digest, or both.

    With both, the digest decides and the tag is for people. Equal references have equal text, and
    `Reference.parse(str(reference)) == reference` always holds.

    Raises:
        InvalidReferenceError: on construction, if a part breaks the grammar or both tag and digest are
        missing.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        _check_registry(self.registry)
        _check_repository(self.repository)
        if self.registry == DEFAULT_REGISTRY and "/" not in self.repository:
            raise InvalidReferenceError(
                f"repositories of {DEFAULT_REGISTRY} have a namespace: library/{self.repository}"
            )
        if self.tag is None and self.digest is None:
            raise InvalidReferenceError(f"{self.registry}/{self.repository} has neither a tag nor a digest")
        if self.tag is not None and not is_tag(self.tag):
            raise InvalidReferenceError(_bad_tag(self.tag))
        if self.digest is not None:
            _check_digest(self.digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as a person writes it, and fill in Docker's defaults.

        `hello` becomes `docker.io/library/hello:latest`; `localhost:5050/hello` gets the tag `latest`. The
        first component is a registry if it holds a dot, a colon or an upper-case letter, or is `localhost`.

        Raises:
            InvalidReferenceError: naming the text and the part that is wrong.
        """
        try:
            return cls(*_split(text))
        except InvalidReferenceError as error:
            raise InvalidReferenceError(f"invalid image reference {text[:300]!r}: {error}") from None

    @property
    def identifier(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        identifier = self.digest or self.tag
        assert identifier is not None
        return identifier

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: str) -> Self:
        """Return this reference pinned to `digest`; the tag stays."""
        return type(self)(self.registry, self.repository, self.tag, digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"


def is_tag(text: str) -> bool:
    """Whether `text` is a tag: up to 128 of letters, digits, `_`, `.` and `-`, the first no dot and no
    dash.
    """
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether `text` is a repository name; one that is can be used as a relative path safely."""
    return len(text) <= _MAX_LENGTH and all(_COMPONENT.fullmatch(part) for part in text.split("/"))


def is_loopback(registry: str) -> bool:
    """Whether `registry` (host with optional port) is this machine by name: localhost, 127.0.0.0/8 or ::1."""
    match = _REGISTRY.fullmatch(registry)
    if match is None:
        return False
    host = match["ipv6"] or match["host"]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(text: str) -> tuple[str, str, str | None, str | None]:
    if not text:
        raise InvalidReferenceError("it is empty")
    if _IMAGE_ID.fullmatch(text):
        raise InvalidReferenceError("64 hex digits are an image id, not a name")
    rest, at, digest = text.partition("@")
    registry, repository = _split_registry(rest)
    repository, colon, tag = repository.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not at and not colon:
        tag, colon = DEFAULT_TAG, ":"
    return registry, repository, tag if colon else None, digest if at else None


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or not _looks_like_registry(first):
        return DEFAULT_REGISTRY, text
    return (DEFAULT_REGISTRY if first == "index.docker.io" else first), rest


def _looks_like_registry(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost" or text.lower() != text


def _check_registry(registry: str) -> None:
    match = _REGISTRY.fullmatch(registry)
    if match is None or not _looks_like_registry(registry):
        raise InvalidReferenceError(
            f"{registry!r} is not a registry: expected a host name, optionally with :port"
        )
    if match["port"] is not None and not 0 < int(match["port"]) < 65536:
        raise InvalidReferenceError(f"port {match['port']} of the registry is not between 1 and 65535")
    if match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            raise InvalidReferenceError(f"{match['ipv6']!r} is not an IPv6 address") from None


def _check_repository(repository: str) -> None:
    if len(repository) > _MAX_LENGTH:
        raise InvalidReferenceError(f"the repository name is longer than {_MAX_LENGTH} characters")
    if is_repository(repository):
        return
    if repository != repository.lower() and is_repository(repository.lower()):
        raise InvalidReferenceError(f"the repository name must be lower case: {repository.lower()!r}")
    bad = next(part for part in repository.split("/") if not _COMPONENT.fullmatch(part))
    raise InvalidReferenceError(
        f"{bad!r} is not a component of a repository name: lower-case letters and digits, "
        "with '.', '_', '__' or dashes only between them"
    )


def _check_digest(digest: str) -> None:
    try:
        digests.check(digest)
    except InvalidDigestError as error:
        raise InvalidReferenceError(str(error)) from None


def _bad_tag(tag: str) -> str:
    if len(tag) > 128:
        return f"the tag is longer than 128 characters: {tag[:20]}..."
    return f"{tag!r} is not a tag: letters, digits, '_', '.' and '-', and the first no '.' or '-'"
