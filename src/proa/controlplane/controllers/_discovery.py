"""The kinds that a server has, as types that hold nothing but metadata."""

from __future__ import annotations

import asyncio
from functools import cache
from types import new_class
from typing import Any, cast

from proa.kube import Client, decode
from proa.kube.core.request import Request
from proa.kube.models import Cluster, Namespaced, Resource, ResourceInfo
from proa.kube.models.meta_v1 import APIGroupList, APIResource, APIResourceList

NEEDED = {"list", "watch", "delete", "get", "patch"}
# Events come and go by themselves, in numbers; nothing owns them or is owned by them.
IGNORED = {("", "events"), ("events.k8s.io", "events")}


@cache
def metadata_only(resource: ResourceInfo) -> type[Resource]:
    """Return a type for a kind of which only the metadata is decoded and kept."""
    base = Namespaced if resource.namespaced else Cluster
    named = {"resource": resource, "__module__": __name__}
    made = new_class(f"{resource.kind}Metadata", (base,), {"kw_only": True}, lambda body: body.update(named))
    return cast("type[Resource]", made)


async def discover(client: Client) -> list[type[Resource]]:
    """Return the kinds of the server that can be listed, watched and deleted, each in its preferred version.

    Raises:
        KubeError: the server could not be asked.
    """
    groups = decode(await _get(client, "/apis"), APIGroupList).groups
    versions = ["v1", *(group.preferred_version.group_version for group in groups if group.preferred_version)]
    lists = await asyncio.gather(*(_resources(client, version) for version in versions))
    return [kind for found in lists for kind in found]


async def _resources(client: Client, api_version: str) -> list[type[Resource]]:
    group, _, version = api_version.rpartition("/")
    path = f"/apis/{api_version}" if group else f"/api/{version}"
    found = decode(await _get(client, path), APIResourceList).resources
    return [metadata_only(_info(group, version, resource)) for resource in found if _usable(group, resource)]


def _usable(group: str, resource: APIResource) -> bool:
    return (
        "/" not in resource.name and set(resource.verbs) >= NEEDED and (group, resource.name) not in IGNORED
    )


def _info(group: str, version: str, resource: APIResource) -> ResourceInfo:
    return ResourceInfo(
        group, version, resource.kind, resource.name, resource.singular_name, resource.namespaced
    )


async def _get(client: Client, path: str) -> Any:
    return (await client.request(Request("GET", path))).body
