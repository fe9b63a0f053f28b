"""Manifests to a cluster and away from it: server-side apply in order, pruning by label, deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from proa.app.backoff import Backoff
from proa.kube.api import Api
from proa.kube.client import Client
from proa.kube.codec import decode
from proa.kube.core import writing
from proa.kube.core.patches import Apply
from proa.kube.core.request import Place
from proa.kube.core.selectors import Selector
from proa.kube.discovery import Discovery, discover
from proa.kube.errors import (
    InvalidRequestError,
    ManifestError,
    MethodNotAllowedError,
    NotFoundError,
    RequestTimeoutError,
    UnknownResourceError,
)
from proa.kube.manifests import in_order
from proa.kube.models import DynamicObject, PartialObjectMetadata, ResourceInfo

__all__ = ["Outcome", "apply", "delete"]

ESTABLISHED_SECONDS = 60.0
_BACKOFF = Backoff(initial=0.05, maximum=1.0)
# What `kubectl apply --prune` looks at as well; kinds of the manifests come on top.
PRUNED_KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
)
Key = tuple[str, str, str | None, str]


@dataclass(frozen=True)
class Outcome:
    """What has become of one object."""

    action: Literal["created", "applied", "pruned", "deleted", "absent"]
    resource: ResourceInfo
    name: str
    namespace: str | None
    object: DynamicObject | None = None
    """As the server stores it now, where it does."""

    def __str__(self) -> str:
        kind = self.resource.kind.lower() + (f".{self.resource.group}" if self.resource.group else "")
        return f"{kind}/{self.name} {self.action}"


async def apply(
    client: Client,
    objects: Iterable[DynamicObject],
    *,
    namespace: str = "default",
    manager: str = "proa",
    force: bool = False,
    dry_run: bool = False,
    prune: str | Selector | None = None,
) -> AsyncGenerator[Outcome, None]:
    """Apply objects of any kinds, those first that others need, and tell of each as it is done.

    After a CustomResourceDefinition the server is waited for, until it offers the new kind. Applying again
    changes nothing; what was done before an error stays done.

    Args:
        client: an open client.
        objects: what to apply; see `proa.kube.manifests`.
        namespace: for those that name none.
        manager: who the fields belong to from now on.
        force: take over fields that belong to others.
        dry_run: go through all of it, but store nothing.
        prune: afterwards delete what matches this label selector and is not among the objects: of their kinds
            and those of `PRUNED_KINDS`, in their namespaces, unless something else owns it.

    Raises:
        InvalidRequestError: an object itself does not match `prune`: it would be pruned next time.
        UnknownResourceError: the server does not have a kind.
        ConflictError: another manager owns a field; nothing of that object was changed.
    """
    wanted = in_order(objects)
    selector = _prunable(wanted, prune)
    discovery = await discover(client)
    kept: set[Key] = set()
    for obj in wanted:
        discovery, resource = await _resource(client, discovery, obj)
        outcome = await _apply_one(
            client, resource, obj, namespace, Apply(obj, manager=manager, force=force), dry_run
        )
        kept.add(_key(resource, outcome.namespace, outcome.name))
        yield outcome
        if resource.kind == "CustomResourceDefinition" and not dry_run:
            await _until_established(client, resource, outcome.name)
            discovery = await discover(client)
    if selector is not None:
        resources = _looked_at(discovery, wanted)
        for resource in resources:
            for place in (
                sorted({namespace, *(key[2] for key in kept if key[2])}) if resource.namespaced else [None]
            ):
                async for outcome in _prune(client, resource, place, selector, kept, dry_run):
                    yield outcome


async def delete(
    client: Client,
    objects: Iterable[DynamicObject],
    *,
    namespace: str = "default",
    grace_period: int | None = None,
    dry_run: bool = False,
) -> AsyncGenerator[Outcome, None]:
    """Delete objects, in the order opposite to that of `apply`; what is not there is no error."""
    discovery = await discover(client)
    for obj in reversed(in_order(objects)):
        try:
            resource = discovery.of_kind(obj.api_version, obj.kind)
        except UnknownResourceError:
            resource = ResourceInfo("", "", obj.kind, "", "", namespaced=False)
            yield Outcome("absent", resource, obj.metadata.name or "", None)
            continue
        api, home = _api(client, resource, obj, namespace), _home(resource, obj, namespace)
        name = obj.metadata.name or ""
        try:
            await api.delete(name, grace_period=grace_period, propagation="Background", dry_run=dry_run)
        except NotFoundError:
            yield Outcome("absent", resource, name, home)
        else:
            yield Outcome("deleted", resource, name, home)


async def _apply_one(
    client: Client, resource: ResourceInfo, obj: DynamicObject, namespace: str, patch: Apply, dry_run: bool
) -> Outcome:
    name = obj.metadata.name
    if not name:
        raise ManifestError(f"a {obj.kind} with generateName cannot be applied: give it a name")
    home = _home(resource, obj, namespace)
    request = writing.patch(Place(resource, home), name, patch, None, {"dry_run": True} if dry_run else {})
    response = await client.request(request)
    stored = decode(response.body, DynamicObject.of(resource))
    return Outcome("created" if response.status == 201 else "applied", resource, name, home, stored)


async def _resource(
    client: Client, discovery: Discovery, obj: DynamicObject
) -> tuple[Discovery, ResourceInfo]:
    """Find an object's resource; one that is missing may have come since the server was asked."""
    try:
        return discovery, discovery.of_kind(obj.api_version, obj.kind)
    except UnknownResourceError:
        anew = await discover(client)
        return anew, anew.of_kind(obj.api_version, obj.kind)


async def _until_established(client: Client, resource: ResourceInfo, name: str) -> None:
    definitions = Api(client, DynamicObject.of(resource))
    timer = _BACKOFF.start()
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            while True:
                if _is_established(await definitions.get(name)):
                    return
                await asyncio.sleep(timer.next())
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"the server did not establish {name} within {ESTABLISHED_SECONDS:g} s; see its conditions"
        ) from error


def _is_established(definition: DynamicObject) -> bool:
    conditions = (definition.data.get("status") or {}).get("conditions") or []
    return any(item.get("type") == "Established" and item.get("status") == "True" for item in conditions)


def _prunable(objects: Sequence[DynamicObject], prune: str | Selector | None) -> Selector | None:
    if prune is None:
        return None
    selector = Selector.of(prune)
    if not str(selector):
        raise InvalidRequestError(
            "pruning needs a label selector that selects something less than everything"
        )
    for obj in objects:
        if not selector.matches(obj.metadata.labels):
            raise InvalidRequestError(
                f"{obj.kind} {obj.metadata.name!r} does not match {str(selector)!r}: "
                "it would be pruned next time"
            )
    return selector


def _looked_at(discovery: Discovery, objects: Sequence[DynamicObject]) -> list[ResourceInfo]:
    kinds = dict.fromkeys([*((obj.api_version, obj.kind) for obj in objects), *PRUNED_KINDS])
    offered = {(item.resource.api_version, item.resource.kind): item.resource for item in discovery}
    return [offered[kind] for kind in kinds if kind in offered]


async def _prune(
    client: Client,
    resource: ResourceInfo,
    namespace: str | None,
    selector: Selector,
    kept: set[Key],
    dry_run: bool,
) -> AsyncGenerator[Outcome, None]:
    api = Api(client, PartialObjectMetadata.of(resource), namespace=namespace)
    try:
        found = [obj.metadata async for obj in api.list(label_selector=selector)]
    except (MethodNotAllowedError, NotFoundError):
        return
    for metadata in found:
        name = metadata.name or ""
        if (
            _key(resource, namespace, name) in kept
            or metadata.owner_references
            or metadata.deletion_timestamp
        ):
            continue
        try:
            await api.delete(name, uid=metadata.uid, propagation="Background", dry_run=dry_run)
        except NotFoundError:
            continue
        yield Outcome("pruned", resource, name, namespace)


def _key(resource: ResourceInfo, namespace: str | None, name: str) -> Key:
    return resource.group, resource.kind, namespace, name


def _home(resource: ResourceInfo, obj: DynamicObject, namespace: str) -> str | None:
    return (obj.metadata.namespace or namespace) if resource.namespaced else None


def _api(client: Client, resource: ResourceInfo, obj: DynamicObject, namespace: str) -> Api[DynamicObject]:
    return Api(client, DynamicObject.of(resource), namespace=_home(resource, obj, namespace))
