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
    """A version. Equality takes build metadata into account, `precedence` does not."""

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
    def release(self) -> Triple:
        """The three numbers."""
        return self.major, self.minor, self.patch

    @property
    def precedence(self) -> tuple[object, ...]:
        """A key to sort by, as SemVer orders: a release comes after its pre-releases."""
        return (self.release, _pre_key(self.pre))

    def __str__(self) -> str:
        tail = f"-{self.pre}" * bool(self.pre) + f"+{self.build}" * bool(self.build)
        return f"{self.major}.{self.minor}.{self.patch}{tail}"


def _pre_key(pre: str) -> tuple[object, ...]:
    if not pre:
        return (1,)
    return (0, *((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")))


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
    def next(self) -> Triple:
        """The first release beyond everything that the written parts cover."""
        if self.minor is None:
            return self.major + 1, 0, 0
        if self.patch is None:
            return self.major, self.minor + 1, 0
        return self.major, self.minor, self.patch + 1

    @property
    def floor(self) -> tuple[object, ...]:
        return (self.low, _pre_key(self.pre) if self.patch is not None else (0,))

    def matches(self, version: Version) -> bool:
        return _TESTS[self.operator](self, version)


def _equal(wanted: _Comparator, version: Version) -> bool:
    if wanted.patch is not None:
        return version.precedence == (wanted.low, _pre_key(wanted.pre))
    return wanted.low <= version.release < wanted.next


def _greater(wanted: _Comparator, version: Version) -> bool:
    if wanted.patch is None:
        return version.release >= wanted.next
    return version.precedence > wanted.floor


def _at_least(wanted: _Comparator, version: Version) -> bool:
    return version.precedence >= wanted.floor


def _tilde(wanted: _Comparator, version: Version) -> bool:
    end = (wanted.major + 1, 0, 0) if wanted.minor is None else (wanted.major, wanted.minor + 1, 0)
    return _at_least(wanted, version) and version.release < end


def _caret(wanted: _Comparator, version: Version) -> bool:
    major, minor, patch = wanted.low
    if major or wanted.minor is None:
        end = (major + 1, 0, 0)
    elif minor or wanted.patch is None:
        end = (0, minor + 1, 0)
    else:
        end = (0, 0, patch + 1)
    return _at_least(wanted, version) and version.release < end


_TESTS: Final[dict[str, Callable[[_Comparator, Version], bool]]] = {
    "=": _equal,
    ">": _greater,
    ">=": _at_least,
    "<": lambda wanted, version: not _at_least(wanted, version),
    "<=": lambda wanted, version: not _greater(wanted, version),
    "~": _tilde,
    "^": _caret,
}


@dataclass(frozen=True)
class VersionRange:
    """What a query's version must satisfy.

    An empty text matches all versions, a bare full version only itself, an unreadable text nothing.
    """

    text: str = ""

    def matches(self, version: Version) -> bool:
        """Whether the range holds the version."""
        text = self.text.strip()
        if not text:
            return True
        if _VERSION.fullmatch(text):
            return version == Version.parse(text) if len(text) <= _LONGEST else False
        comparators = self._comparators
        if comparators is None or not all(each.matches(version) for each in comparators):
            return False
        return not version.pre or any(
            each.pre and each.patch is not None and each.low == version.release for each in comparators
        )

    @cached_property
    def _comparators(self) -> list[_Comparator] | None:
        if self.text.strip() in {"*", "x", "X"}:
            return []
        try:
            return [_comparator(part.strip()) for part in self.text.split(",")]
        except InvalidVersionError:
            return None


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
