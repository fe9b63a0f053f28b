"""The reference implementation's scenarios, step by step, on scaffolds that our own code makes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec
import pytest

from proa.bindle.invoice import Bindle, Invoice, decode, encode
from proa.bindle.signing import sign
from proa.bindle.testing import SCAFFOLDS, RunningServer, running_server, scaffold
from proa.bindle.wire import InvoiceCreated, Matches, MissingParcels

TOML = {"Content-Type": "application/toml"}


@pytest.fixture(params=["files", "sqlite"])
async def server(tmp_path: Path, request: Any) -> AsyncIterator[RunningServer]:
    kind: Literal["files", "sqlite"] = request.param
    async with running_server(tmp_path, kind=kind) as server:
        yield server


class Steps:
    """Requests as the reference's tests make them: what was answered counts, to the status."""

    def __init__(self, server: RunningServer, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = TOML if body is not None else {}
        async with self._session.request(
            method, self._server.url + path, data=body, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    async def create(self, invoice: Invoice) -> tuple[int, list[str]]:
        status, body = await self._ask("POST", "_i", encode(invoice))
        missing = decode(body, "toml", InvoiceCreated).missing if status < 300 else []
        return status, [label.name for label in missing or []]

    async def upload(self, name: str, parcel: str) -> int:
        bindle, contents = SCAFFOLDS[name]
        label = next(each for each in scaffold(name, self._server.creator).labels if each.name == parcel)
        return (await self._ask("POST", f"_i/{bindle}@{label.sha256}", contents[parcel]))[0]

    async def status(self, path: str, method: str = "GET") -> int:
        return (await self._ask(method, path))[0]

    async def missing(self, bindle: str) -> set[str]:
        _, body = await self._ask("GET", f"_r/missing/{bindle}")
        return {label.name for label in decode(body, "toml", MissingParcels).missing}

    async def found(self, query: str) -> int:
        _, body = await self._ask("GET", f"_q?q={query}")
        return decode(body, "toml", Matches).total


@pytest.fixture
async def steps(server: RunningServer) -> AsyncIterator[Steps]:
    async with aiohttp.ClientSession() as session:
        yield Steps(server, session)


async def test_bindles_are_created_share_parcels_and_are_read(server: RunningServer, steps: Steps) -> None:
    first = scaffold("valid_v1", server.creator)
    assert await steps.create(first) == (202, ["red"])
    assert await steps.upload("valid_v1", "red") == 200
    other = msgspec.structs.replace(
        first, bindle=Bindle(name="another.com/bindle", version="1.0.0"), signatures=None
    )
    assert await steps.create(sign(other, server.creator, "creator", 1)) == (201, [])
    assert await steps.create(scaffold("valid_v2", server.creator)) == (202, ["green"])
    assert await steps.upload("valid_v2", "green") == 200
    for bindle in (
        "enterprise.com/warpcore/1.0.0",
        "enterprise.com/warpcore/2.0.0",
        "another.com/bindle/1.0.0",
    ):
        assert await steps.status(f"_i/{bindle}") == 200
    assert await steps.status(f"_i/enterprise.com/warpcore/1.0.0@{first.labels[0].sha256}") == 200
    assert await steps.found("enterprise.com/warpcore") == 2
    assert await steps.found("non/existent") == 0


async def test_a_yanked_bindle_is_there_only_for_those_who_ask_for_it(
    server: RunningServer, steps: Steps
) -> None:
    invoice = scaffold("valid_v1", server.creator)
    await steps.create(invoice)
    await steps.upload("valid_v1", "red")
    assert await steps.status(f"_i/{invoice.id}", "DELETE") == 200
    assert await steps.status(f"_i/{invoice.id}") == 403
    assert await steps.status(f"_i/{invoice.id}?yanked=true") == 200
    assert await steps.status(f"_i/{invoice.id}@{invoice.labels[0].sha256}") == 403
    assert await steps.status(f"_r/missing/{invoice.id}") == 403


async def test_what_is_there_or_wrong_is_refused(server: RunningServer, steps: Steps) -> None:
    invoice = scaffold("valid_v1", server.creator)
    await steps.create(invoice)
    assert (await steps.create(invoice))[0] == 409
    assert await steps.upload("valid_v1", "red") == 200
    assert await steps.upload("valid_v1", "red") == 409
    await steps.create(scaffold("invalid", server.creator))
    assert await steps.upload("invalid", "red") == 400


async def test_what_is_missing_is_named(server: RunningServer, steps: Steps) -> None:
    invoice = scaffold("lotsa_parcels", server.creator)
    assert (await steps.create(invoice))[0] == 202
    assert await steps.upload("lotsa_parcels", "red") == 200
    assert await steps.missing(str(invoice.id)) == {"barrel", "crate"}
    assert (await steps.create(scaffold("incomplete", server.creator)))[0] == 201
    assert await steps.missing("enterprise.com/bridge/1.0.0") == set()
