"""Helpers for tests of whatever pulls and pushes: a registry of your own, with faults at will.

Usage::

    async with running_registry(tmp_path) as registry, RegistryClient() as client:
        await push_module(client, path, registry.reference("hello:1"))
        registry.faults.drop(after=1000)  # the next blob breaks off
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from proa.oci.client import RegistryClient
from proa.oci.manifest import IMAGE_MANIFEST, ImageManifest
from proa.oci.reference import Reference
from proa.oci.registry import Registry
from proa.oci.signatures import PAYLOAD, SIGNATURE, signature_reference
from proa.oci.store import BlobStore

__all__ = ("EMPTY_MODULE", "Faults", "RunningRegistry", "running_registry", "sign_image")

EMPTY_MODULE = b"\0asm\x01\0\0\0"
"""The smallest core module."""


class Faults:
    """What goes wrong next, in the order in which it was asked for, and what was requested so far.

    Attributes:
        requests: method and path of every request, in order.
        ranges: the `Range` headers of the requests for blobs that had one.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self._blob_faults: list[tuple[str, int]] = []
        self._answers: list[tuple[str, int]] = []
        self._gate: tuple[asyncio.Event, asyncio.Event] | None = None

    def drop(self, *, after: int, times: int = 1) -> None:
        """Have the connection break `after` bytes into the next `times` answers with a blob."""
        self._blob_faults += [("drop", after)] * times

    def corrupt(self, *, at: int) -> None:
        """Have the byte at `at` of the next blob come wrong."""
        self._blob_faults.append(("corrupt", at))

    def answer(self, status: int, *, method: str = "GET", times: int = 1) -> None:
        """Have the next `times` requests of `method` answered with an empty `status`."""
        self._answers += [(method, status)] * times

    def hold_blobs(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Hold blobs back; return an event set when one is asked for, and one to set for letting them go."""
        self._gate = asyncio.Event(), asyncio.Event()
        return self._gate

    def count(self, method: str, part: str) -> int:
        """Return how many requests of `method` had `part` in their path."""
        return sum(1 for used, path in self.requests if used == method and part in path)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Do what was asked for, to the requests that it was asked for."""
        self.requests.append((request.method, request.path))
        for answer in self._answers:
            if answer[0] == request.method:
                self._answers.remove(answer)
                return web.Response(status=answer[1])
        response = await handler(request)
        if request.method != "GET" or not isinstance(response, web.FileResponse):
            return response
        if "Range" in request.headers:
            self.ranges.append(request.headers["Range"])
        if self._gate is not None:
            asked, released = self._gate
            asked.set()
            await released.wait()
        return await self._spoiled(request) if self._blob_faults else response

    async def _spoiled(self, request: web.Request) -> web.StreamResponse:
        kind, position = self._blob_faults.pop(0)
        content = bytearray(await self._blobs.read(request.match_info["digest"]))
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(content) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        if kind == "corrupt":
            content[position] ^= 0xFF
            await response.write(bytes(content[start:]))
            return response
        await response.write(bytes(content[start : start + position]))
        if request.transport is not None:
            request.transport.close()
        return response


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that runs in this process.

    Attributes:
        address: what references begin with: `127.0.0.1:PORT`.
        url: where it is, as a URL.
        faults: what shall go wrong with it.
    """

    address: str
    url: str
    faults: Faults

    def reference(self, name: str) -> Reference:
        """Return the reference to `name` (as `hello:1`) in this registry."""
        return Reference.parse(f"{self.address}/{name}")


async def sign_image(
    client: RegistryClient,
    reference: Reference,
    digest: str,
    sign: Callable[[bytes], bytes],
    claimed: str | None = None,
) -> None:
    """Store a signature beside an image, as `cosign sign --key` does, if need be one of another digest."""
    image = {"docker-manifest-digest": claimed or digest}
    critical = {"identity": {}, "image": image, "type": "cosign container image signature"}
    content = msgspec.json.encode({"critical": critical, "optional": None})
    signature = base64.b64encode(sign(content)).decode()
    layer = msgspec.structs.replace(
        await client.push_blob(reference, content), media_type=PAYLOAD, annotations={SIGNATURE: signature}
    )
    config = msgspec.structs.replace(
        await client.push_blob(reference, b"{}"), media_type="application/vnd.oci.image.config.v1+json"
    )
    manifest = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=config, layers=[layer])
    await client.put_manifest(signature_reference(reference, digest), manifest)


@contextlib.asynccontextmanager
async def running_registry(directory: Path) -> AsyncIterator[RunningRegistry]:
    """Run a registry on a free port of loopback that keeps its state in `directory`."""
    faults = Faults(BlobStore(directory))
    async with Registry(data_dir=directory, port=0, middlewares=[faults.middleware]) as registry:
        yield RunningRegistry(f"127.0.0.1:{registry.port}", registry.url, faults)
