"""Sets of fields in the form in which objects carry them: `FieldsV1`. Pure; nothing is changed in place.

A set is a tree of path elements: `f:NAME` a field or key, `k:{KEYS}` an item of a list by its keys,
`v:VALUE` an item of a set. A node without children is a member; one with children is a member if it has
the child `.`. The empty tree, at the root, is the empty set.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/#ObjectMeta
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import decode, encode

Fields = dict[str, Any]
"""A set of fields, or a node of one."""

SELF = "."
_MEMBER: Fields = {}


def is_member(node: Fields | None) -> bool:
    """Whether a node itself, rather than only something below it, is in the set."""
    return node is not None and (not node or SELF in node)


def node_of(*, member: bool, children: Fields) -> Fields | None:
    """The node with these children; None if nothing is left of it."""
    if not member:
        return children or None
    return {SELF: _MEMBER, **children} if children else _MEMBER


def _children(node: Fields) -> Iterator[tuple[str, Fields]]:
    return ((element, child) for element, child in node.items() if element != SELF)


def union(left: Fields, right: Fields) -> Fields:
    """What is in one of two sets."""
    if not left or not right:
        return left or right
    result = dict(left)
    for element, node in right.items():
        mine = left.get(element)
        result[element] = node if mine is None else _joined(mine, node)
    return result


def _joined(left: Fields, right: Fields) -> Fields:
    children = union(dict(_children(left)), dict(_children(right)))
    joined = node_of(member=is_member(left) or is_member(right), children=children)
    return _MEMBER if joined is None else joined


def includes(fields: Fields, others: Fields) -> bool:
    """Whether all of a set is in another one."""
    for element, node in others.items():
        mine = fields.get(element)
        if mine is None or (is_member(node) and not is_member(mine)):
            return False
        if node and not includes(mine, {name: child for name, child in node.items() if name != SELF}):
            return False
    return True


def difference(left: Fields, right: Fields) -> Fields:
    """What is in the first set and not in the second; that one's members do not stand for what is below
    them.
    """
    result = {}
    for element, node in left.items():
        other = right.get(element)
        kept = node if other is None else _reduced(node, other)
        if kept is not None:
            result[element] = kept
    return result


def _reduced(left: Fields, right: Fields) -> Fields | None:
    children = difference(dict(_children(left)), dict(_children(right)))
    return node_of(member=is_member(left) and not is_member(right), children=children)


def intersection(left: Fields, right: Fields) -> Fields:
    """What is in both sets."""
    result = {}
    for element, node in left.items():
        common = _common(node, right[element]) if element in right else None
        if common is not None:
            result[element] = common
    return result


def _common(left: Fields, right: Fields) -> Fields | None:
    children = intersection(dict(_children(left)), dict(_children(right)))
    return node_of(member=is_member(left) and is_member(right), children=children)


def paths(fields: Fields, before: str = "") -> Iterator[str]:
    """The members as error messages name them: `.spec.containers[name="main"].image`."""
    for element, node in fields.items():
        if element == SELF:
            continue
        path = before + _shown(element)
        if is_member(node):
            yield path
        yield from paths(node, path)


def _shown(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "k":
        keys: Any = decode(rest.encode())
        return "[" + ",".join(f"{name}={encode(value).decode()}" for name, value in keys.items()) + "]"
    return {"f": f".{rest}", "v": f"[={rest}]"}.get(kind, f"[{rest}]")


def well_formed(fields: Any, depth: int = 0) -> bool:
    """Whether a client's value is a set of fields."""
    if type(fields) is not dict or depth > _MAX_DEPTH:
        return False
    return all(
        (element == SELF or element[:2] in _PREFIXES) and well_formed(node, depth + 1)
        for element, node in fields.items()
    )


_PREFIXES = frozenset({"f:", "k:", "v:", "i:"})
_MAX_DEPTH = 100
