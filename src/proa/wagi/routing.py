"""Which handler a path belongs to: the first pattern in the order of configuration that matches. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from proa.wagi.errors import WagiError
from proa.wagi.protocol import Matched

__all__ = ["RouteTable", "SubRoute", "check_pattern", "matches", "parse_sub_routes"]

T = TypeVar("T")
_WILDCARD: Final = "/..."


def check_pattern(pattern: str) -> str | None:
    """Say what is wrong with a route pattern, or None.

    `/x` matches that path only, `/x/...` matches `/x`, `/x/` and everything below, but not `/xy`.
    """
    if not pattern.startswith("/"):
        return "a route begins with /"
    if "..." in pattern.removesuffix(_WILDCARD):
        return "... can only be the last part of a route"
    if re.search(r"[\x00-\x20?#\x7f]", pattern):
        return "a route has no spaces, no ? and no #"
    return None


def matches(pattern: str, path: str) -> Matched | None:
    """Match a path against one pattern."""
    if not pattern.endswith(_WILDCARD):
        return Matched(pattern, pattern, "") if path == pattern else None
    prefix = pattern.removesuffix(_WILDCARD)
    if path != prefix and not path.startswith(prefix + "/"):
        return None
    return Matched(pattern, prefix or "/", path[len(prefix) :])


class RouteTable(Generic[T]):
    """Patterns and what they lead to. Finding one costs a look-up for each part of the path, not each route.

    Args:
        routes: Pairs of pattern and target in order of precedence; of equal patterns the first counts.
    """

    def __init__(self, routes: Sequence[tuple[str, T]]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, int] = {}
        self._below: dict[str, int] = {}
        for index, (pattern, _) in enumerate(self.routes):
            wildcard = pattern.endswith(_WILDCARD)
            (self._below if wildcard else self._exact).setdefault(pattern.removesuffix(_WILDCARD), index)

    def find(self, path: str) -> tuple[Matched, T] | None:
        """Return the first route that matches."""
        best = self._exact.get(path, -1)
        prefix = path
        while self._below and path.startswith("/"):
            index = self._below.get(prefix, -1)
            if index >= 0 and (best < 0 or index < best):
                best = index
            if not prefix:
                break
            prefix = prefix.rpartition("/")[0]
        if best < 0:
            return None
        pattern, target = self.routes[best]
        matched = matches(pattern, path)
        assert matched
        return matched, target


@dataclass(frozen=True, slots=True)
class SubRoute:
    """A route that a module itself announces, through its export `_routes`."""

    pattern: str
    entrypoint: str


def parse_sub_routes(output: bytes, parent: str) -> list[SubRoute]:
    """Read what `_routes` printed: a path, spaces and the name of an export on each line.

    Returns:
        The routes below `parent`, in order of precedence: the last line first.

    Raises:
        WagiError: It is not UTF-8, or a line is not of this form.
    """
    try:
        lines = output.decode().splitlines()
    except UnicodeDecodeError:
        raise WagiError(f"_routes of {parent}: the output is not UTF-8") from None
    prefix = parent.removesuffix(_WILDCARD).removesuffix("/")
    found = [_parse_sub_route(line, number, parent, prefix) for number, line in enumerate(lines, 1)]
    if not found:
        raise WagiError(f"_routes of {parent}: it printed nothing; print lines such as '/path entrypoint'")
    return found[::-1]


def _parse_sub_route(line: str, number: int, parent: str, prefix: str) -> SubRoute:
    parts = line.split()
    if len(parts) != 2:
        raise WagiError(f"_routes of {parent}: line {number} is not a path and an entrypoint: {line[:80]!r}")
    pattern = f"{prefix}/{parts[0].removeprefix('/')}"
    if problem := check_pattern(pattern):
        raise WagiError(f"_routes of {parent}: line {number}: {problem}: {parts[0]!r}")
    return SubRoute(pattern, parts[1])
