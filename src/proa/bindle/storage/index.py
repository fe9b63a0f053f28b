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
class _Name:
    """All versions of one name, oldest first, and those of them that are not yanked."""

    folded: str
    name: str
    versions: tuple[str, ...]
    current: tuple[str, ...]


class SearchIndex:
    """All ids of a storage. Reading is safe in any thread, as nothing that is read is changed in place."""

    def __init__(self) -> None:
        self._names: list[_Name] = []
        self._parsed: dict[str, Version] = {}

    def __len__(self) -> int:
        return sum(len(entry.versions) for entry in self._names)

    def load(self, entries: list[tuple[Id, bool]]) -> None:
        """Fill the index with ids and whether they are yanked; what was in it goes."""
        grouped: dict[str, dict[str, bool]] = {}
        for bindle, yanked in entries:
            grouped.setdefault(bindle.name, {})[bindle.version] = yanked
        self._names = [self._entry(name, grouped[name]) for name in sorted(grouped)]

    def put(self, bindle: Id, *, yanked: bool) -> None:
        """Add an id, or say whether it is yanked now."""
        names = self._names.copy()
        at = bisect.bisect_left(names, bindle.name, key=lambda entry: entry.name)
        states: dict[str, bool] = {}
        if known := at < len(names) and names[at].name == bindle.name:
            states = {text: text not in names[at].current for text in names[at].versions}
        states[bindle.version] = yanked
        names[at : at + known] = [self._entry(bindle.name, states)]
        self._names = names

    def search(self, query: Query) -> Found:
        """Return the page of ids that the query asks for."""
        admitted = self._admitted(VersionRange(query.version))
        ids: list[Id] = []
        total = 0
        for entry in self._matching(query):
            versions = entry.versions if query.yanked else entry.current
            count = len(versions) if admitted is None else sum(map(admitted.__contains__, versions))
            if len(ids) < query.limit and query.offset < total + count:
                wanted = versions if admitted is None else tuple(filter(admitted.__contains__, versions))
                first = max(query.offset - total, 0)
                ids += [Id(entry.name, text) for text in wanted[first : first + query.limit - len(ids)]]
            total += count
        return Found(ids, total)

    def _entry(self, name: str, states: dict[str, bool]) -> _Name:
        for text in states:
            if text not in self._parsed:
                self._parsed[text] = Version.parse(text)
        versions = tuple(sorted(states, key=lambda text: (self._parsed[text].precedence, text)))
        return _Name(name.casefold(), name, versions, tuple(text for text in versions if not states[text]))

    def _admitted(self, wanted: VersionRange) -> frozenset[str] | None:
        """Return the texts of all versions that the range holds; None: any."""
        if not wanted.text.strip():
            return None
        return frozenset(text for text, version in self._parsed.copy().items() if wanted.matches(version))

    def _matching(self, query: Query) -> list[_Name]:
        found = self._names
        for word in (query.text if query.strict else query.text.casefold()).split():
            if query.strict:
                found = [entry for entry in found if word in entry.name]
            else:
                found = [entry for entry in found if word in entry.folded]
        return found
