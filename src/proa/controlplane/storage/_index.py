"""The objects in memory, in the order in which Kubernetes lists them: by namespace, then by name."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from ._objects import Key, Stored


class _Names:
    """Objects of one resource in one namespace, by name and in name order."""

    __slots__ = ("objects", "order")

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.order: list[str] = []

    def put(self, stored: Stored) -> None:
        name = stored.key.name
        if name not in self.objects:
            insort(self.order, name)
        self.objects[name] = stored

    def remove(self, name: str) -> None:
        if self.objects.pop(name, None) is not None:
            del self.order[bisect_left(self.order, name)]


class Index:
    """Objects by key; listing costs what is listed."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, _Names]] = {}

    def __len__(self) -> int:
        return sum(len(names.order) for spaces in self._resources.values() for names in spaces.values())

    def get(self, key: Key) -> Stored | None:
        """The object, if it is there."""
        names = self._resources.get(key.resource, {}).get(key.namespace)
        return names.objects.get(key.name) if names else None

    def put(self, stored: Stored) -> None:
        """Adds an object, or replaces the version that was there."""
        spaces = self._resources.setdefault(stored.key.resource, {})
        names = spaces.get(stored.key.namespace)
        if names is None:
            names = spaces[stored.key.namespace] = _Names()
        names.put(stored)

    def remove(self, key: Key) -> None:
        """Takes an object out, if it is there."""
        spaces = self._resources.get(key.resource, {})
        if key.namespace in spaces:
            spaces[key.namespace].remove(key.name)
            if not spaces[key.namespace].order:
                del spaces[key.namespace]

    def count(self, resource: str, namespace: str | None = None) -> int:
        """How many objects of a resource there are, in one namespace or in all."""
        spaces = self._resources.get(resource, {})
        if namespace is None:
            return sum(len(names.order) for names in spaces.values())
        names = spaces.get(namespace)
        return len(names.order) if names else 0

    def resources(self) -> list[str]:
        """The resources of which there is, or was, an object."""
        return list(self._resources)

    def scan(
        self, resource: str, namespace: str | None = None, after: tuple[str, str] | None = None
    ) -> Iterator[Stored]:
        """The objects of a resource in order, in one namespace or in all; `after` a (namespace, name), if
        given.

        The index must not change while this is being read.
        """
        spaces = self._resources.get(resource, {})
        for space in sorted(spaces) if namespace is None else [namespace]:
            if space not in spaces or (after and space < after[0]):
                continue
            names = spaces[space]
            start = bisect_right(names.order, after[1]) if after and space == after[0] else 0
            for name in names.order[start:] if start else names.order:
                yield names.objects[name]
