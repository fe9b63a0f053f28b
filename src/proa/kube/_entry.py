"""Get-modify-commit: a change as a function, tried again on what the object has become."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Unpack

from proa.app.backoff import Backoff
from proa.kube._bound import K
from proa.kube._reading import Reading
from proa.kube._writing import Writing
from proa.kube.codec import encode
from proa.kube.core.writing import WriteOptions
from proa.kube.errors import ConflictError, NotFoundError

Change = Callable[[K], object]
ATTEMPTS = 5
_BACKOFF = Backoff(initial=0.05, maximum=2.0, jitter=0.5)


class Entries(Reading[K], Writing[K]):
    """The verb `entry`."""

    def entry(self, name: str, *, namespace: str | None = None) -> Entry[K]:
        """Begin a change of one object, there already or not; nothing is sent before `commit`.

        await config_maps.entry("a").or_create(make).modify(lambda found: found.data.update(b="c")).commit()
        """
        return Entry(self, name, namespace)


@dataclass(frozen=True)
class Entry(Generic[K]):
    """A change that is still to be made: a value, so that it can be passed around and committed again."""

    _api: Entries[K] = field(repr=False)
    name: str
    namespace: str | None = None
    _make: Callable[[], K] | None = field(default=None, repr=False)
    _changes: tuple[Change[K], ...] = field(default=(), repr=False)

    def or_create(self, make: Callable[[], K]) -> Entry[K]:
        """Say what to create if there is no such object; changes are made to that as well."""
        return replace(self, _make=make)

    def modify(self, change: Callable[[K], object]) -> Entry[K]:
        """Add a change: a function that changes the object it is given. It may be called several times."""
        return replace(self, _changes=(*self._changes, change))

    async def commit(self, *, attempts: int = ATTEMPTS, **options: Unpack[WriteOptions]) -> K:
        """Read the object, change it and write it; begin anew while others are faster.

        Nothing is written where nothing has changed. Cancelling is safe: the object is changed wholly or not
        at all.

        Args:
            attempts: how often to begin before ConflictError is raised.
            options: see `WriteOptions`.

        Raises:
            NotFoundError: there is no such object, and `or_create` was not called.
            ConflictError: others changed the object every time.
        """
        failures = 0
        while True:
            try:
                return await self._attempt(options)
            except ConflictError:
                failures += 1
                if failures >= attempts:
                    raise
            except NotFoundError:
                # Deleted between reading and writing: where it may be created, it is.
                failures += 1
                if self._make is None or failures >= attempts:
                    raise
            import asyncio

            await asyncio.sleep(_BACKOFF.delay(failures - 1))

    async def _attempt(self, options: WriteOptions) -> K:
        try:
            before = await self._api.get(self.name, namespace=self.namespace)
        except NotFoundError:
            if self._make is None:
                raise
            made = self._changed(self._make())
            made.metadata.name = self.name
            return await self._api.create(made, namespace=self.namespace, **options)
        after = self._changed(copy.deepcopy(before))
        if encode(after) == encode(before):
            return before
        return await self._api.replace(after, namespace=self.namespace, **options)

    def _changed(self, obj: K) -> K:
        for change in self._changes:
            change(obj)
        return obj
