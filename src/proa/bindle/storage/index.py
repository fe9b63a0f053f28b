"""What to search for, by name and version, and how to find it in an SQLite database. Pure.

The names are in one table with the numbers of their versions, so that a search for words looks at few rows;
versions have keys that sort as SemVer orders, so that a range of them is a range of an index.
"""

from dataclasses import dataclass
from typing import Final, Literal

from proa.bindle.invoice import Invoice
from proa.bindle.version import Bounds, VersionRange

__all__ = ("LAYOUT", "MOST_RESULTS", "PUT", "REPLACE", "SCHEMA", "Found", "Query", "Selection")

MOST_RESULTS: Final = 255
_FEW: Final = 2_000
LAYOUT: Final = 3
SCHEMA: Final = """
CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    folded TEXT NOT NULL,
    versions INTEGER NOT NULL DEFAULT 0,
    current INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX names_to_search ON names (name, folded, versions, current, id);
CREATE TABLE invoices (
    id INTEGER PRIMARY KEY,
    name INTEGER NOT NULL REFERENCES names,
    folded TEXT NOT NULL,
    version TEXT NOT NULL,
    key BLOB NOT NULL,
    release BLOB,
    yanked INTEGER NOT NULL,
    place TEXT NOT NULL UNIQUE,
    stamp INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX invoices_by_name ON invoices (name, key, version, release, yanked);
CREATE INDEX invoices_by_key ON invoices (key, release, yanked, folded, name, version);
CREATE TRIGGER added AFTER INSERT ON invoices BEGIN
    UPDATE names SET versions = versions + 1, current = current + NOT new.yanked WHERE id = new.name;
END;
CREATE TRIGGER changed AFTER UPDATE OF yanked ON invoices BEGIN
    UPDATE names SET current = current + old.yanked - new.yanked WHERE id = new.name;
END;
CREATE TRIGGER removed AFTER DELETE ON invoices BEGIN
    UPDATE names SET versions = versions - 1, current = current - NOT old.yanked WHERE id = old.name;
END;
"""
PUT: Final = """
INSERT INTO invoices (name, folded, version, key, release, yanked, place, stamp, content)
VALUES ((SELECT id FROM names WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?)
"""
REPLACE: Final = """
ON CONFLICT (place) DO UPDATE SET yanked = excluded.yanked, stamp = excluded.stamp, content = excluded.content
"""


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
    """One page of results by name and then version, oldest first, and how many there are in all."""

    invoices: list[Invoice]
    total: int


class Selection:
    """A query as SQL: with `?` for everything that comes from outside."""

    def __init__(self, query: Query) -> None:
        versions = VersionRange(query.version)
        self.bounds = versions.bounds
        self._query = query
        words = (query.text if query.strict else query.text.casefold()).split()
        column = "name" if query.strict else "folded"
        self._names = [f"instr(names.{column}, ?)" for _ in words]
        self._words = tuple(words)
        self._versions: list[str] = [] if query.yanked else ["NOT yanked"]
        self._keys: tuple[bytes | str, ...] = ()
        self._ranged = self.bounds != Bounds(releases=None)
        if self.bounds is not None and self._ranged:
            self._add(self.bounds, versions.exactly)

    def _add(self, bounds: Bounds, exactly: str | None) -> None:
        self._versions.append("key >= ?")
        self._keys += (bounds.low,)
        if bounds.high is not None:
            self._versions.append("key < ?")
            self._keys += (bounds.high,)
        if bounds.releases is not None:
            marks = ", ".join("?" * len(bounds.releases))
            self._versions.append(f"(release IS NULL OR release IN ({marks}))")
            self._keys += tuple(bounds.releases)
        if exactly is not None:
            self._versions.append("version = ?")
            self._keys += (exactly,)

    def count(self) -> tuple[str, tuple[object, ...]]:
        """Return how to count what is found."""
        if self._ranged and self._query.strict:
            return f"SELECT count(*) {self._joined('key')}", (*self._keys, *self._words)
        if self._ranged:
            words = ["instr(folded, ?)" for _ in self._words]
            where = _where(self._versions + words)
            count = f"SELECT count(*) FROM invoices INDEXED BY invoices_by_key {where}"  # noqa: S608 - no values
            return count, (*self._keys, *self._words)
        column = "versions" if self._query.yanked else "current"
        return f"SELECT sum({column}) FROM names {_where(self._names)}", self._words  # noqa: S608 - no values

    def page(self, total: int) -> tuple[str, tuple[object, ...]]:
        """Return how to read the page, knowing how many results there are."""
        # Few results of a range would be far apart by name; many would take long to sort.
        first: Literal["key", "name"] = "key" if self._ranged and total < _FEW else "name"
        parameters = (self._keys, self._words) if first == "key" else (self._words, self._keys)
        page = f"SELECT invoices.id {self._joined(first)} ORDER BY names.name, key, version LIMIT ? OFFSET ?"
        return (
            f"SELECT content FROM ({page}) AS page CROSS JOIN invoices ON invoices.id = page.id",  # noqa: S608 - no values
            (*parameters[0], *parameters[1], self._query.limit, self._query.offset),
        )

    def _joined(self, first: Literal["key", "name"]) -> str:
        if first == "key":
            tables = "invoices INDEXED BY invoices_by_key CROSS JOIN names ON names.id = invoices.name"
            return f"FROM {tables} {_where(self._versions + self._names)}"
        tables = "names INDEXED BY names_to_search CROSS JOIN invoices INDEXED BY invoices_by_name"
        return f"FROM {tables} ON names.id = invoices.name {_where(self._names + self._versions)}"


def _where(conditions: list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
