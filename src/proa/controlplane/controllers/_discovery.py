"""The kinds that a server has, also those that are defined while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from proa.kube import Client, PartialObjectMetadata
from proa.kube.discovery import Discovery, discover
from proa.kube.errors import UnknownResourceError
from proa.kube.models import Resource, ResourceInfo

NEEDED = {"list", "watch", "delete", "get", "patch"}
# Events come and go by themselves, in numbers; nothing owns them or is owned by them.
IGNORED = {("", "events"), ("events.k8s.io", "events")}


class Kinds:
    """What the server has, asked for when it is first wanted and again when something seems to be missing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: Discovery | None = None
        self._asking = asyncio.Lock()

    async def refresh(self) -> Sequence[type[PartialObjectMetadata]]:
        """Return the kinds that can be listed, watched and deleted, each in its preferred version, as of now.

        Raises:
            KubeError: The server could not be asked.
        """
        async with self._asking:
            self._known = await discover(self._client)
        return [
            PartialObjectMetadata.of(one.resource)
            for one in self._known
            if one.preferred
            and one.verbs >= NEEDED
            and (one.resource.group, one.resource.plural) not in IGNORED
        ]

    async def of(self, api_version: str, kind: str) -> type[Resource]:
        """Return the type of what a reference names.

        Raises:
            UnknownResourceError: The server has no such kind.
            KubeError: The server could not be asked.
        """
        return await self._find(lambda known: known.of_kind(api_version, kind))

    async def named(self, name: str) -> type[Resource]:
        """Return the type of what is called by a plural, with its group after a dot unless that is the core.

        Raises:
            UnknownResourceError: The server has nothing of that name.
            KubeError: The server could not be asked.
        """
        return await self._find(lambda known: known.resolve(name))

    async def _find(self, find: Callable[[Discovery], ResourceInfo]) -> type[Resource]:
        if self._known is None:
            await self.refresh()
        assert self._known is not None
        try:
            return PartialObjectMetadata.of(find(self._known))
        except UnknownResourceError:
            await self.refresh()
            return PartialObjectMetadata.of(find(self._known))
