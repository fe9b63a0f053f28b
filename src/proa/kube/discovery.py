"""Asking a server what it offers: two requests, whatever the number of its resources."""

from __future__ import annotations

import asyncio

import msgspec

from proa.kube.client import Client
from proa.kube.codec import decode
from proa.kube.core.discovery import AGGREGATED, Discovery, Offered, read_aggregated, read_plain

__all__ = ["Discovery", "Offered", "discover"]


class _Version(msgspec.Struct, rename="camel"):
    group_version: str


class _Group(msgspec.Struct):
    versions: list[_Version] = []


class _Groups(msgspec.Struct):
    versions: list[str] = []
    groups: list[_Group] = []


async def discover(client: Client) -> Discovery:
    """Return what the server offers, core group first.

    Servers without aggregated discovery (before Kubernetes 1.27) take a request for each group version.
    """
    bodies = [(await client.request_raw("GET", path, accept=AGGREGATED)).body for path in ("/api", "/apis")]
    offered: list[Offered] = []
    for body in bodies:
        found = read_aggregated(body)
        offered += found if found is not None else await _one_by_one(client, decode(body, _Groups))
    return Discovery(offered)


async def _one_by_one(client: Client, groups: _Groups) -> list[Offered]:
    paths = [(f"/api/{version}", index == 0) for index, version in enumerate(groups.versions)]
    paths += [
        (f"/apis/{version.group_version}", index == 0)
        for group in groups.groups
        for index, version in enumerate(group.versions)
    ]

    async def read(path: str, *, preferred: bool) -> list[Offered]:
        return read_plain((await client.request_raw("GET", path)).body, preferred=preferred)

    found = await asyncio.gather(*(read(path, preferred=preferred) for path, preferred in paths))
    return [item for offered in found for item in offered]
