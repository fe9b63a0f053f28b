"""How a type's values divide into fields that can be owned: which lists are sets or have keys, which
structs and maps are atomic. Pure.

Everything here mirrors structured-merge-diff, the library by which Kubernetes does it:
https://github.com/kubernetes-sigs/structured-merge-diff
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from proa.controlplane._json import Document, encode

from ._fields import SELF, Fields, is_member, node_of

ABSENT: Any = object()
"""No value at all, which is not the same as null."""

_MEMBER: Fields = {}

Changes = tuple[Fields | None, Fields | None]
"""What was added or modified, and what was removed, below one node; None where nothing was."""


class UndeclaredError(Exception):
    """A value does not fit its type: a field that the type does not have, a list's item without its key."""


class Shape:
    """A value that is owned as a whole: a scalar, or something atomic."""

    def compare(self, old: Any, new: Any) -> Changes:
        """The fields in which two values differ."""
        if old is ABSENT or (new is not ABSENT and old != new):
            return {}, None
        return (None, {}) if new is ABSENT else (None, None)

    def added(self, value: Any) -> Fields:
        """The fields of a value where there was none: what `compare` finds then, found faster."""
        del value
        return {}

    def claimed(self, value: Any, path: str) -> Fields | None:
        """The fields that a configuration names, and so claims.

        Raises:
            UndeclaredError: It names what the type does not have.
        """
        del value, path
        return {}

    def merge(self, live: Any, config: Any) -> Any:
        """The live value with the configuration's put over it."""
        del live
        return config

    def prune(self, value: Any, given_up: Fields, kept: Fields | None) -> Any:
        """The value without what was given up, unless that is (also) in what is kept."""
        del given_up, kept
        return value


LEAF = Shape()


class _Container(Shape):
    """What has parts with owners of their own."""

    kind: type

    def compare(self, old: Any, new: Any) -> Changes:
        if old is ABSENT and new is not ABSENT:
            return self.added(new), None
        if not old or not new or type(old) is not self.kind or type(new) is not self.kind:
            if not _holds(self.kind, old) and not _holds(self.kind, new):
                return _compare_empty(old, new)
        elif old is new or old == new:
            return None, None
        changed, removed = {}, {}
        for element, shape, before, after in self._pairs(old, new):
            added, lost = shape.compare(before, after)
            if added is not None:
                changed[element] = added
            if lost is not None:
                removed[element] = lost
        return (
            node_of(member=old is ABSENT, children=changed),
            node_of(member=new is ABSENT, children=removed),
        )

    def _pairs(self, old: Any, new: Any) -> Iterable[tuple[str, Shape, Any, Any]]:
        raise NotImplementedError


def _holds(kind: type, value: Any) -> bool:
    return type(value) is kind and bool(value)


def _compare_empty(old: Any, new: Any) -> Changes:
    """Both are empty, null or absent: then only absence makes a difference."""
    if old is ABSENT:
        return (None, None) if new is ABSENT else ({}, None)
    return (None, {}) if new is ABSENT else (None, None)


class Struct(_Container):
    """Named fields. `implied` are those that Go's empty value has, with what it has there; `ignored` are
    never owned; `other` is the shape of fields that are not declared, if such are welcome.
    """

    kind = dict

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self.fields: dict[str, Shape] = {}
        self.implied: dict[str, Any] = {}
        self.ignored = frozenset(ignored)
        self.other: Shape | None = None
        self.named = True

    def field(self, name: str) -> Shape | None:
        """The shape of a field; None if there is no such field."""
        return self.fields.get(name, self.other)

    def _pairs(self, old: Any, new: Any) -> Iterator[tuple[str, Shape, Any, Any]]:
        before: Document = old if type(old) is dict else {}
        after: Document = new if type(new) is dict else {}
        was_empty = {} if old is ABSENT else self.implied
        will_be_empty = {} if new is ABSENT else self.implied
        for name, value in after.items():
            shape = self.field(name)
            if shape is not None and name not in self.ignored:
                was = before[name] if name in before else was_empty.get(name, ABSENT)
                yield f"f:{name}", shape, was, value
        for name, value in before.items():
            if name not in after:
                shape = self.field(name)
                if shape is not None and name not in self.ignored:
                    yield f"f:{name}", shape, value, will_be_empty.get(name, ABSENT)

    def added(self, value: Any) -> Fields:
        if type(value) is not dict:
            return {}
        found: Fields = {}
        for name, item in value.items():
            shape = self.field(name)
            if shape is not None and name not in self.ignored:
                found["f:" + name] = _MEMBER if shape is LEAF else shape.added(item)
        return {SELF: _MEMBER, **found} if found else found

    def claimed(self, value: Any, path: str) -> Fields | None:
        if value is None:
            return None
        if type(value) is not dict:
            raise UndeclaredError(f"{path or '.'}: expected an object")
        found: Fields = {}
        for name, item in value.items():
            shape = self.field(name)
            if shape is None and name not in self.ignored:
                raise UndeclaredError(f"{path}.{name}: field not declared in schema")
            if shape is None or name in self.ignored:
                continue
            inner = shape.claimed(item, f"{path}.{name}")
            whole = not self.named or item is None or item == {}
            node = node_of(member=whole or inner == {}, children=_below(inner))
            if node is not None:
                found[f"f:{name}"] = node
        return found or None

    def merge(self, live: Any, config: Any) -> Any:
        if type(config) is not dict:
            return live if config is None else config
        result: Document = dict(live) if type(live) is dict else {}
        for name, value in config.items():
            shape = LEAF if name in self.ignored else self.field(name) or LEAF
            result[name] = shape.merge(result.get(name), value)
        return result

    def prune(self, value: Any, given_up: Fields, kept: Fields | None) -> Any:
        if type(value) is not dict:
            return value
        result: Document = {}
        for name, item in value.items():
            element = f"f:{name}"
            lost, held = given_up.get(element), (kept or {}).get(element)
            if lost is None or name in self.ignored:
                result[name] = item
            elif not self._owned(lost) or (held is not None and self._owned(held)):
                result[name] = (self.field(name) or LEAF).prune(item, lost, held)
        return result

    def _owned(self, node: Fields) -> bool:
        # A struct's field counts as owned with what is in it; a map's key and a list's item do not.
        return self.named or is_member(node)


class Map(Struct):
    """Keys that anybody may choose, with values of one shape."""

    def __init__(self, item: Shape) -> None:
        super().__init__()
        self.named = False
        self._item = item

    def field(self, name: str) -> Shape | None:
        """Every key has the one shape."""
        del name
        return self._item


class Deduced(Map):
    """A value of no declared type: objects divide, all else is owned as a whole."""

    def __init__(self) -> None:
        super().__init__(self)

    def compare(self, old: Any, new: Any) -> Changes:
        if type(old) is dict or type(new) is dict:
            return super().compare(old, new)
        return LEAF.compare(old, new)

    def claimed(self, value: Any, path: str) -> Fields | None:
        return super().claimed(value, path) if type(value) is dict else {}

    def merge(self, live: Any, config: Any) -> Any:
        return super().merge(live, config) if type(config) is dict else config


DEDUCED = Deduced()


class _Items(_Container):
    """A list whose items are told apart by what is in them."""

    kind = list
    item: Shape

    def element(self, item: Any, path: str = "") -> str:
        """How an item is told apart.

        Raises:
            UndeclaredError: It lacks what it would be told apart by.
        """
        raise NotImplementedError

    def _by_element(self, items: Any) -> dict[str, Any]:
        """The items by their elements; several with the same one stand together, and are owned as one."""
        found: dict[str, Any] = {}
        for item in items if type(items) is list else ():
            element = self.element(item)
            found[element] = _Several([found[element], item]) if element in found else item
        return found

    def compare(self, old: Any, new: Any) -> Changes:
        try:
            return super().compare(old, new)
        except UndeclaredError:
            return LEAF.compare(old, new)

    def _pairs(self, old: Any, new: Any) -> Iterator[tuple[str, Shape, Any, Any]]:
        before, after = self._by_element(old), self._by_element(new)
        for element in after | before:
            was, becomes = before.get(element, ABSENT), after.get(element, ABSENT)
            single = not isinstance(was, _Several) and not isinstance(becomes, _Several)
            yield element, self.item if single else LEAF, was, becomes

    def added(self, value: Any) -> Fields:
        if type(value) is not list or not value:
            return {}
        found: Fields = {SELF: _MEMBER}
        try:
            for item in value:
                element = self.element(item)
                single = self.item is not LEAF and element not in found
                found[element] = self.item.added(item) if single else _MEMBER
        except UndeclaredError:
            return {}
        return found

    def claimed(self, value: Any, path: str) -> Fields | None:
        if value is None:
            return None
        if type(value) is not list:
            raise UndeclaredError(f"{path}: expected a list")
        found: Fields = {}
        for item in value:
            element = self.element(item, path)
            if element in found:
                raise UndeclaredError(f"{path}: duplicate entries for {element[2:]}")
            inner = self.item.claimed(item, f"{path}[{element[2:]}]")
            node = node_of(member=True, children=_below(inner))
            found[element] = {} if node is None else node
        return found or None

    def merge(self, live: Any, config: Any) -> Any:
        if type(config) is not list:
            return live if config is None else config
        mine = {self.element(item): item for item in (live if type(live) is list else ())}
        theirs = {self.element(item): item for item in config}
        return [
            self.item.merge(mine.get(element), theirs[element]) if element in theirs else mine[element]
            for element in _merged_order(list(mine), list(theirs))
        ]

    def prune(self, value: Any, given_up: Fields, kept: Fields | None) -> Any:
        result = []
        for item in value if type(value) is list else ():
            element = self.element(item)
            lost, held = given_up.get(element), (kept or {}).get(element)
            if lost is None:
                result.append(item)
            elif not is_member(lost) or is_member(held):
                result.append(self.item.prune(item, lost, held))
        return result


class _Several(list[Any]):
    """Items of a list that cannot be told apart."""


def _below(node: Fields | None) -> Fields:
    return {} if node is None else {element: child for element, child in node.items() if element != "."}


def _merged_order(live: list[str], config: list[str]) -> list[str]:
    """The elements of both lists: the configuration's in its order; what only the live list has stays
    behind what it followed there.
    """
    wanted, there = set(config), set(live)
    shared = [element for element in config if element in there]
    order: list[str] = []
    done: set[str] = set()
    left, right = 0, 0
    while left < len(live) or right < len(config):
        mine = live[left] if left < len(live) else None
        theirs = config[right] if right < len(config) else None
        if mine is not None and mine not in wanted:
            order.append(mine)
            left += 1
            continue
        if mine is not None and theirs is not None and shared and mine not in {theirs, shared[0]}:
            left += 1  # it comes, or came, where the configuration has it
            continue
        left += mine is not None and (mine == theirs or mine in done)
        if theirs is not None:
            order.append(theirs)
            done.add(theirs)
            right += 1
            shared = shared[1:] if shared[:1] == [theirs] else shared
    return order


class KeyedList(_Items):
    """A list of objects told apart by some of their fields."""

    def __init__(self, keys: Iterable[str], defaults: Mapping[str, Any], item: Shape) -> None:
        self._keys = tuple(sorted(keys))
        self._defaults = defaults
        self.item = item

    def element(self, item: Any, path: str = "") -> str:
        """`k:` and the keys as JSON, in order."""
        values = [item.get(key, self._defaults.get(key)) for key in self._keys] if type(item) is dict else []
        if not values or not _KEY_TYPES.issuperset(map(type, values)):
            raise UndeclaredError(f"{path}: an item lacks its key {' or '.join(self._keys)}")
        return _keyed(self._keys, *values)


_KEY_TYPES = frozenset({str, int, bool, float})


@lru_cache(8192, typed=True)
def _keyed(keys: tuple[str, ...], *values: Any) -> str:
    return "k:" + encode(dict(zip(keys, values, strict=True))).decode()


class SetList(_Items):
    """A list of scalars, each of which is there or is not."""

    def __init__(self) -> None:
        self.item = LEAF

    def element(self, item: Any, path: str = "") -> str:
        """`v:` and the value as JSON."""
        del path
        return "v:" + encode(item).decode()


def atomics(shape: Shape, value: Any, path: str = "") -> list[str]:
    """The paths of what would be replaced as a whole: atomic lists, maps and structs in a configuration."""
    if type(value) not in {dict, list}:
        return []
    if isinstance(shape, Struct) and type(value) is dict:
        return [
            found
            for name, item in value.items()
            if name not in shape.ignored
            for found in atomics(shape.field(name) or LEAF, item, f"{path}.{name}")
        ]
    if isinstance(shape, _Items) and type(value) is list:
        return [
            found
            for index, item in enumerate(value)
            for found in atomics(shape.item, item, f"{path}[{index}]")
        ]
    return [path]
