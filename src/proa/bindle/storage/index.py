"""Searching invoices by name and version, in memory. Pure."""

import bisect
from dataclasses import dataclass
from typing import Final

from proa.bindle.invoice import Id
from proa.bindle.version import Version, VersionRange

__all__ = ("MOST_RESULTS", "Found", "Query", "SearchIndex")

MOST_RESULTS: Final = 255


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to search for.

    Attributes:
        text: words that the name must all contain; empty: any name.
        version: a range of versions; see `proa.bindle.version`.
        strict: take upper and lower case for different.
        yanked: find what was yanked, too.
        offset: how many results to skip.
        limit: the most results to return, up to `MOST_RESULTS`.
    """

    text: str = ""
    version: str = ""
    strict: bool = False
    yanked: bool = False
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results: their ids by name and then version, oldest first, and how many there are in
    all.
    """

    ids: list[Id]
    total: int


@dataclass(frozen=True, slots=True)
class _Version:
    text: str
    version: Version
    yanked: bool


class SearchIndex:
    """All ids of a storage. Reading is safe in any thread, as nothing that is read is changed in place."""

    def __init__(self) -> None:
        self._versions: dict[str, tuple[_Version, ...]] = {}
        self._names: list[str] = []
        self._folded: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._versions.values()))

    def load(self, entries: list[tuple[Id, bool]]) -> None:
        """Fill the index with ids and whether they are yanked; what was in it goes."""
        grouped: dict[str, list[_Version]] = {}
        for bindle, yanked in entries:
            grouped.setdefault(bindle.name, []).append(_entry(bindle, yanked=yanked))
        self._versions = {name: _ordered(entries) for name, entries in grouped.items()}
        self._set_names(sorted(grouped))

    def put(self, bindle: Id, *, yanked: bool) -> None:
        """Add an id, or say whether it is yanked now."""
        known = self._versions.get(bindle.name)
        others = [entry for entry in known or () if entry.text != bindle.version]
        self._versions[bindle.name] = _ordered([*others, _entry(bindle, yanked=yanked)])
        if known is None:
            names = self._names.copy()
            bisect.insort(names, bindle.name)
            self._set_names(names)

    def search(self, query: Query) -> Found:
        """Return the page of ids that the query asks for."""
        admitted = _Admission(query)
        ids: list[Id] = []
        total = 0
        for name in self._matching(query):
            versions = [entry for entry in self._versions[name] if admitted(entry)]
            first = max(query.offset - total, 0)
            ids += [Id(name, e.text) for e in versions[first : first + query.limit - len(ids)]]
            total += len(versions)
        return Found(ids, total)

    def _set_names(self, names: list[str]) -> None:
        self._folded = [name.casefold() for name in names]
        self._names = names

    def _matching(self, query: Query) -> list[str]:
        names = self._names
        words = (query.text if query.strict else query.text.casefold()).split()
        if not words:
            return names
        first, *rest = words
        if query.strict:
            found = [name for name in names if first in name]
        else:
            found = [name for folded, name in zip(self._folded, names, strict=False) if first in folded]
        return [
            name
            for name in found
            if all(word in (name if query.strict else name.casefold()) for word in rest)
        ]


class _Admission:
    """Whether a version is wanted; each version's text is judged once a query."""

    def __init__(self, query: Query) -> None:
        self._range = VersionRange(query.version)
        self._yanked = query.yanked
        self._judged: dict[str, bool] = {}

    def __call__(self, entry: _Version) -> bool:
        if entry.yanked and not self._yanked:
            return False
        if not self._range.text:
            return True
        judged = self._judged.get(entry.text)
        if judged is None:
            judged = self._judged[entry.text] = self._range.matches(entry.version)
        return judged


def _entry(bindle: Id, *, yanked: bool) -> _Version:
    return _Version(bindle.version, Version.parse(bindle.version), yanked)


def _ordered(entries: list[_Version]) -> tuple[_Version, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.version.precedence, entry.text)))
