"""CEL's functions for lists, as Kubernetes adds them, and what translated comprehensions are made of.

Those whose names the runtime has for texts begin with underscores; `_translation` puts them in.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ._declare import function

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

MAX_RANGE = 10_000


def list_functions() -> list[FunctionDecl]:
    """Lists."""
    return [
        function("isSorted", [("l", "b", _is_sorted)]),
        function("sum", [("l", "*", sum)]),
        function("min", [("l", "*", min)]),
        function("max", [("l", "*", max)]),
        function("__indexOf", [("ss", "i", str.find), ("ssi", "i", str.find), *_each("l", "i", _index_of)]),
        function(
            "__lastIndexOf",
            [("ss", "i", str.rfind), ("ssi", "i", _last_in_text), *_each("l", "i", _last_index_of)],
        ),
        function("__reverse", [("l", "l", lambda items: items[::-1]), ("s", "s", lambda text: text[::-1])]),
        function("distinct", [("l", "l", _distinct)]),
        function("flatten", [("l", "l", _flat), ("li", "l", _flat)]),
        function("slice", [("lii", "l", _slice)]),
        function("sort", [("l", "l", _sorted)]),
        function("lists.range", free=[("i", "l", _range)]),
        function("__sortedByFirst", [("l", "l", lambda pairs: [item for _, item in _by_first(pairs)])]),
        function("__pairs", [("l", "l", lambda items: _pairs(enumerate(items))), ("m", "l", _items)]),
        function("__mapOfPairs", [("l", "m", dict)]),
        function("__merged", [("l", "m", _merged)]),
    ]


def _each(first: str, result: str, implementation: Any) -> list[tuple[str, str, Any]]:
    """An overload for every kind that a second argument may have."""
    return [(first + kind, result, implementation) for kind in ("i", "d", "b", "s", "l", "m")]


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in pairwise(items))


def _index_of(items: list[Any], wanted: Any) -> int:
    return items.index(wanted) if wanted in items else -1


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return len(items) - 1 - items[::-1].index(wanted) if wanted in items else -1


def _last_in_text(text: str, part: str, last: int) -> int:
    return text.rfind(part, 0, last + len(part))


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _flat(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        found += _flat(item, depth - 1) if isinstance(item, list) and depth else [item]
    return found


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(items):
        raise ValueError(f"cannot slice({start}, {end}), the list has {len(items)} items")
    return items[start:end]


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items)


def _by_first(pairs: list[Any]) -> list[Any]:
    return sorted(pairs, key=lambda pair: pair[0])


def _range(count: int) -> list[int]:
    if count > MAX_RANGE:
        raise ValueError(f"a range has {MAX_RANGE} items at most")
    return list(range(count))


def _pairs(items: Any) -> list[Any]:
    return [list(pair) for pair in items]


def _items(mapping: dict[Any, Any]) -> list[Any]:
    return _pairs(mapping.items())


def _merged(mappings: list[Any]) -> dict[Any, Any]:
    whole: dict[Any, Any] = {}
    for one in mappings:
        if whole.keys() & one.keys():
            raise ValueError("insert failed: the key is there already")
        whole |= one
    return whole
