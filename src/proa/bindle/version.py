"""Semantic versions and ranges of them; pure.

Versions follow SemVer 2.0.0 strictly. Ranges are those of Rust's `VersionReq`, as Bindle's reference
implementation reads them: comparators (`^ ~ = > >= < <=`, `*` and partial versions) joined by commas, all of
which must hold. A pre-release satisfies a range only where a comparator names a pre-release of the same three
numbers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from proa.bindle.errors import InvalidVersionError

__all__ = ("Version", "VersionRange")

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,18})"
_PRE: Final = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_TAIL: Final = rf"(?:-(?P<pre>{_PRE}(?:\.{_PRE})*))?(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER}){_TAIL}", re.ASCII)
_WILD: Final = r"[*xX]"
_COMPARATOR = re.compile(
    rf"(?P<operator>[<>]=?|[=^~])?\s*(?P<major>{_NUMBER})"
    rf"(?:\.(?P<minor>{_NUMBER}|{_WILD})(?:\.(?P<patch>{_NUMBER}|{_WILD}){_TAIL})?)?",
    re.ASCII,
)
_LONGEST: Final = 256

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Version:
    """A version. Equality takes build metadata into account, `key` does not."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read a version.

        Raises:
            InvalidVersionError: it is not exactly MAJOR.MINOR.PATCH[-PRE][+BUILD].
        """
        match = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            raise InvalidVersionError(f"{text[:100]!r} is not a semantic version: expected e.g. 1.2.3")
        major, minor, patch = (int(match[part]) for part in ("major", "minor", "patch"))
        return cls(major, minor, patch, match["pre"] or "", match["build"] or "")

    @property
    def release(self) -> bytes:
        """What the keys of this release and of all its pre-releases begin with."""
        return _release_key((self.major, self.minor, self.patch))

    @property
    def key(self) -> bytes:
        """What sorts, byte by byte, as SemVer orders: a release comes after its pre-releases."""
        return self.release + _pre_key(self.pre)

    def __str__(self) -> str:
        tail = f"-{self.pre}" * bool(self.pre) + f"+{self.build}" * bool(self.build)
        return f"{self.major}.{self.minor}.{self.patch}{tail}"


def _number_key(number: int) -> bytes:
    """Return the number's bytes after their count, so that a longer number is a greater one."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "big")


def _release_key(release: Triple) -> bytes:
    return b"".join(map(_number_key, release))


def _pre_key(pre: str) -> bytes:
    """Begin each identifier by its kind, numbers first, and end by what is less than any kind."""
    if not pre:
        return b"\xff"
    return b"".join(map(_identifier_key, pre.split("."))) + b"\0"


def _identifier_key(text: str) -> bytes:
    return b"\1" + _number_key(int(text)) if text.isdigit() else b"\2" + text.encode() + b"\0"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The keys of the versions in a range.

    Attributes:
        low: the least key.
        high: the first key beyond; None: there is no end.
        releases: of which releases pre-releases are in the range, too; None: of all.
    """

    low: bytes = b""
    high: bytes | None = None
    releases: frozenset[bytes] | None = frozenset()

    def hold(self, version: Version) -> bool:
        """Whether a version lies within."""
        if version.key < self.low or (self.high is not None and version.key >= self.high):
            return False
        return not version.pre or self.releases is None or version.release in self.releases


@dataclass(frozen=True, slots=True)
class _Comparator:
    operator: str
    major: int
    minor: int | None = None
    patch: int | None = None
    pre: str = ""

    @property
    def low(self) -> Triple:
        return self.major, self.minor or 0, self.patch or 0

    @property
    def first(self) -> bytes:
        """The least key that the written parts cover."""
        return _release_key(self.low) + (b"" if self.patch is None else _pre_key(self.pre))

    @property
    def beyond(self) -> bytes:
        """The first key beyond everything that the written parts cover."""
        if self.minor is None:
            return _release_key((self.major + 1, 0, 0))
        if self.patch is None:
            return _release_key((self.major, self.minor + 1, 0))
        return self.first + b"\0"

    @property
    def bounds(self) -> tuple[bytes, bytes | None]:
        return _BOUNDS[self.operator](self)


def _tilde(wanted: _Comparator) -> bytes:
    return _release_key(
        (wanted.major + 1, 0, 0) if wanted.minor is None else (wanted.major, wanted.minor + 1, 0)
    )


def _caret(wanted: _Comparator) -> bytes:
    major, minor, patch = wanted.low
    if major or wanted.minor is None:
        return _release_key((major + 1, 0, 0))
    if minor or wanted.patch is None:
        return _release_key((0, minor + 1, 0))
    return _release_key((0, 0, patch + 1))


_BOUNDS: Final[dict[str, Callable[[_Comparator], tuple[bytes, bytes | None]]]] = {
    "=": lambda wanted: (wanted.first, wanted.beyond),
    ">": lambda wanted: (wanted.beyond, None),
    ">=": lambda wanted: (wanted.first, None),
    "<": lambda wanted: (b"", wanted.first),
    "<=": lambda wanted: (b"", wanted.beyond),
    "~": lambda wanted: (wanted.first, _tilde(wanted)),
    "^": lambda wanted: (wanted.first, _caret(wanted)),
}


@dataclass(frozen=True)
class VersionRange:
    """What a query's version must satisfy.

    An empty text matches all versions, a bare full version only itself, an unreadable text nothing.
    """

    text: str = ""

    @property
    def exactly(self) -> str | None:
        """The one version that is in the range, build metadata included; None where it is not one."""
        text = self.text.strip()
        return text if len(text) <= _LONGEST and _VERSION.fullmatch(text) else None

    @cached_property
    def bounds(self) -> Bounds | None:
        """The keys of the versions in the range; None: there are none."""
        text = self.text.strip()
        if not text:
            return Bounds(releases=None)
        if self.exactly:
            key = Version.parse(text).key
            return Bounds(key, key + b"\0", None)
        if text in {"*", "x", "X"}:
            return Bounds()
        try:
            return _common([_comparator(part.strip()) for part in text.split(",")])
        except InvalidVersionError:
            return None

    def matches(self, version: Version) -> bool:
        """Whether the range holds the version."""
        if self.exactly is not None and str(version) != self.exactly:
            return False
        return self.bounds is not None and self.bounds.hold(version)


def _common(comparators: list[_Comparator]) -> Bounds:
    lows, highs = zip(*(each.bounds for each in comparators), strict=True)
    ends = [high for high in highs if high is not None]
    named = (each for each in comparators if each.pre and each.patch is not None)
    return Bounds(max(lows), min(ends, default=None), frozenset(_release_key(each.low) for each in named))


def _comparator(text: str) -> _Comparator:
    match = _COMPARATOR.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise InvalidVersionError(f"{text[:100]!r} is not a comparison of versions: expected e.g. ^1.2")
    minor, patch = (
        None if match[part] in {None, "*", "x", "X"} else int(match[part]) for part in ("minor", "patch")
    )
    wild = any((match[part] or "") in {"*", "x", "X"} for part in ("minor", "patch"))
    if wild and (match["pre"] or (minor is None and patch is not None)):
        raise InvalidVersionError(f"{text!r}: nothing may follow a wildcard")
    # 1.2.* means what =1.2 means, not what ^1.2 does.
    operator = match["operator"] or ("=" if wild else "^")
    return _Comparator(operator, int(match["major"]), minor, patch, match["pre"] or "")
