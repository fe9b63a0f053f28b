"""The garbage collector: deletes what has lost its owners, over all kinds of the server."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec

from proa.app import Backoff, logs
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._graph import FOREGROUND, ORPHAN, Graph, Verdict
from proa.kube import Api, Client, ConflictError, KubeError, Merge, NotFoundError, PartialObjectMetadata
from proa.kube.core.request import Propagation
from proa.kube.models import Resource
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition
from proa.kube.models.meta_v1 import OwnerReference
from proa.runtime import Apply, Delete, Dispatcher, InitApply, Reflector, background

log = logs.get_logger(__name__)

Kind: TypeAlias = "tuple[str, str]"
"""A group and the name of a kind."""

RETRY = Backoff(initial=0.005, maximum=60.0, factor=2.0, jitter=0.1)
CONCURRENCY = 20
REMEMBERED = 1000


class GarbageCollector:
    """Follows the metadata of every kind and deletes objects whose owners are all gone.

    Before an object is deleted the server is asked whether its owner is really gone: no watch is trusted
    with that, and the owner may be of a kind that is not watched. `Foreground` and `Orphan` deletions are
    carried out through the finalizers that the API server sets.

    Kinds that are defined while it runs are followed from then on.

    Args:
        client: The server.
        kinds: What it has.
    """

    def __init__(self, client: Client, kinds: Kinds) -> None:
        self._client = client
        self._kinds = kinds
        self._apis: dict[Kind, Api[Any]] = {}
        self._following: dict[Kind, tuple[Reflector[Any], AsyncExitStack]] = {}
        self._graph = Graph()
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._kind_of: dict[str, Kind] = {}
        self._dispatcher: Dispatcher[str] = Dispatcher(
            self._attend, concurrency=CONCURRENCY, backoff=RETRY, grace=1.0
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        definitions = Reflector(Api(self._client, PartialObjectMetadata.of(CustomResourceDefinition)))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end_all)
            await self._follow_all()
            await stack.enter_async_context(definitions)
            await stack.enter_async_context(background(self._learn(definitions), "garbage: definitions"))
            await stack.enter_async_context(background(self._dispatcher.run(), "garbage collector"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._dispatcher.stop()
        await self._stack.aclose()

    async def _end_all(self) -> None:
        for key in list(self._following):
            await self._end(key)

    async def _learn(self, definitions: Reflector[Any]) -> None:
        """Ask again what there is whenever a definition changes: what it defines may be served now."""
        async for event in definitions.subscribe():
            if isinstance(event, Apply | Delete):
                timer = RETRY.start()
                while True:
                    try:
                        await self._follow_all()
                        break
                    except KubeError as error:
                        log.debug("cannot learn which kinds there are", error=str(error))
                        await asyncio.sleep(timer.next())

    async def _follow_all(self) -> None:
        """Follow what the server has now, and nothing else."""
        kinds = {(kind.resource.group, kind.resource.kind): kind for kind in await self._kinds.refresh()}
        for key, (reflector, _) in list(self._following.items()):
            if kinds.get(key) is not reflector.type:
                await self._end(key)
        for key, kind in kinds.items():
            if key not in self._following:
                await self._begin(key, kind)

    async def _begin(self, key: Kind, kind: type[PartialObjectMetadata]) -> None:
        api = self._apis[key] = Api(self._client, kind)
        reflector, stack = Reflector(api), AsyncExitStack()
        self._following[key] = reflector, stack
        await stack.enter_async_context(reflector)
        follow = background(self._follow(key, reflector), f"garbage: {kind.resource.plural}")
        await stack.enter_async_context(follow)

    async def _end(self, key: Kind) -> None:
        reflector, stack = self._following.pop(key)
        await stack.aclose()
        for obj in reflector.store:
            self._deleted(obj)
        self._apis.pop(key, None)

    async def _follow(self, key: Kind, reflector: Reflector[Any]) -> None:
        async for event in reflector.subscribe():
            match event:
                case InitApply(obj) | Apply(obj):
                    self._kind_of[obj.metadata.uid] = key
                    self._graph.apply(obj)
                    if obj.metadata.owner_references or obj.metadata.deletion_timestamp is not None:
                        self._dispatcher.add(obj.metadata.uid)
                case Delete(obj):
                    self._deleted(obj)

    def _deleted(self, obj: Resource) -> None:
        uid = obj.metadata.uid or ""
        self._graph.remove(obj)
        self._kind_of.pop(uid, None)
        for dependent in self._graph.dependents(uid):
            self._dispatcher.add(dependent.metadata.uid or "")
        for owner in obj.metadata.owner_references:
            self._dispatcher.add(owner.uid)

    async def _attend(self, uid: str) -> float | None:
        obj = self._graph.find(uid)
        if obj is None:
            return None
        for owner in self._graph.unknown_owners(obj):
            await self._look_for(obj, owner)
        decision = self._graph.decide(uid, self._absent.__contains__)
        with suppress(NotFoundError):
            match decision.verdict:
                case Verdict.DELETE:
                    await self._delete(obj, "Background")
                case Verdict.DELETE_FOREGROUND:
                    if self._graph.in_circle(uid):
                        await self._unblock(obj)
                    await self._delete(obj, "Foreground")
                case Verdict.DETACH:
                    await self._detach(obj, decision.detach)
                case Verdict.AWAIT:
                    for dependent in self._graph.dependents(uid):
                        self._dispatcher.add(dependent.metadata.uid or "")
                case Verdict.RELEASE:
                    await self._drop_finalizer(obj, FOREGROUND)
                case Verdict.ORPHAN:
                    for dependent in self._graph.dependents(uid):
                        with suppress(NotFoundError):
                            await self._detach(dependent, (uid,))
                    await self._drop_finalizer(obj, ORPHAN)
        return None

    async def _look_for(self, obj: Resource, owner: OwnerReference) -> None:
        """Ask the server for an owner that the graph doesn't know."""
        api = self._apis.get((owner.api_version.rpartition("/")[0], owner.kind))
        if api is None or owner.uid in self._absent:
            return  # an owner of a kind that the server doesn't have says nothing: leave the object alone
        namespace = obj.metadata.namespace if api.type.resource.namespaced else None
        found = await api.get_opt(owner.name, namespace=namespace)
        if found is None or found.metadata.uid != owner.uid:
            self._absent[owner.uid] = None
            if len(self._absent) > REMEMBERED:
                self._absent.popitem(last=False)

    async def _delete(self, obj: Resource, propagation: Propagation) -> None:
        name, uid = obj.metadata.name or "", obj.metadata.uid
        # A conflict means another object of that name by now: not the one that was condemned.
        with suppress(ConflictError):
            await self._api(obj).delete(
                name, uid=uid, propagation=propagation, namespace=obj.metadata.namespace
            )
        log.debug(
            "collected", kind=self._kind_of.get(uid or ""), object=name, namespace=obj.metadata.namespace
        )

    async def _unblock(self, obj: Resource) -> None:
        """Let owners go before the object: those that own each other would wait for each other for ever."""
        unblocked = [
            msgspec.structs.replace(owner, block_owner_deletion=False)
            for owner in obj.metadata.owner_references
        ]
        await self._patch(obj, {"ownerReferences": unblocked})

    async def _detach(self, obj: Resource, uids: tuple[str, ...]) -> None:
        remaining = [owner for owner in obj.metadata.owner_references if owner.uid not in uids]
        await self._patch(obj, {"ownerReferences": remaining or None})

    async def _drop_finalizer(self, obj: Resource, finalizer: str) -> None:
        remaining = [other for other in obj.metadata.finalizers if other != finalizer]
        await self._patch(obj, {"finalizers": remaining or None})

    async def _patch(self, obj: Resource, metadata: dict[str, object]) -> None:
        # With the version that the decision was based on; a conflict is retried on the newer one.
        metadata |= {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        await self._api(obj).patch(
            obj.metadata.name or "", Merge({"metadata": metadata}), namespace=obj.metadata.namespace
        )

    def _api(self, obj: Resource) -> Api[Any]:
        return self._apis[self._kind_of[obj.metadata.uid or ""]]
