import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from proa.app import Backoff, http
from proa.oci import (
    BlobNotFoundError,
    BlobStore,
    Credentials,
    DigestMismatchError,
    InvalidManifestError,
    ManifestNotFoundError,
    Reference,
    RegistryClient,
    RegistryError,
    RegistryUnavailableError,
    UnauthorizedError,
)
from proa.oci import digest as digests
from proa.oci.manifest import IMAGE_MANIFEST, Descriptor, ImageManifest, encode
from proa.oci.testing import RunningRegistry

CONTENT = bytes(range(256)) * 8192  # 2 MiB
BLOB = Descriptor(media_type="application/wasm", digest=digests.of(CONTENT), size=len(CONTENT))


def leftovers(store: BlobStore) -> list[Path]:
    return [path for path in store.directory.rglob("*") if path.is_file()]


async def test_a_blob_travels_there_and_back(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    reference = registry.reference("deep/er/hello:1")
    assert not await client.has_blob(reference, BLOB.digest)
    pushed = await client.push_blob(reference, CONTENT)
    assert (pushed.digest, pushed.size) == (BLOB.digest, BLOB.size)
    assert await client.has_blob(reference, BLOB.digest)
    path = await client.pull_blob(reference, BLOB, store)
    assert path.read_bytes() == CONTENT


async def test_what_the_registry_has_is_not_sent_again(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    for _ in range(2):
        await client.push_blob(registry.reference("hello"), CONTENT)
    assert registry.faults.count("POST", "/blobs/uploads/") == 1


async def test_what_the_store_has_is_not_fetched_again(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await store.write(CONTENT)
    await client.pull_blob(registry.reference("hello"), BLOB, store)
    assert registry.faults.requests == []


async def test_a_broken_transfer_is_carried_on_where_it_broke(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    registry.faults.drop(after=1_000_000, times=2)
    path = await client.pull_blob(registry.reference("hello"), BLOB, store)
    assert path.read_bytes() == CONTENT
    assert len(registry.faults.ranges) == 2
    assert all(int(header.removeprefix("bytes=").rstrip("-")) > 0 for header in registry.faults.ranges)


async def test_a_registry_that_ignores_ranges_is_read_from_the_start(
    client: RegistryClient, store: BlobStore
) -> None:
    requests = 0

    async def blob(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT if requests > 1 else CONTENT[:1_000_000])
        if requests == 1 and request.transport is not None:
            request.transport.close()
        return response

    async with serving({f"/v2/x/blobs/{BLOB.digest}": blob}) as address:
        path = await client.pull_blob(Reference.parse(f"{address}/x"), BLOB, store)
    assert path.read_bytes() == CONTENT
    assert requests == 2


async def test_a_transfer_that_keeps_breaking_fails_after_a_few_attempts_and_leaves_nothing(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    registry.faults.drop(after=10, times=50)
    with pytest.raises(RegistryUnavailableError, match=registry.address):
        await client.pull_blob(registry.reference("hello"), BLOB, store)
    assert registry.faults.count("GET", "/blobs/") == 5
    assert leftovers(store) == []


async def test_a_registry_that_recovers_is_waited_for(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    registry.faults.answer(503, times=3)
    await client.pull_blob(registry.reference("hello"), BLOB, store)


async def test_wrong_bytes_are_refused_and_leave_nothing(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    registry.faults.corrupt(at=1_500_000)
    with pytest.raises(DigestMismatchError, match=f"not {BLOB.digest}"):
        await client.pull_blob(registry.reference("hello"), BLOB, store)
    assert leftovers(store) == []
    await client.pull_blob(registry.reference("hello"), BLOB, store)


async def test_more_bytes_than_announced_are_refused(client: RegistryClient, store: BlobStore) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(2**16))
        return response

    async with serving({f"/v2/x/blobs/{BLOB.digest}": endless}) as address:
        with pytest.raises(DigestMismatchError, match=f"larger than the {len(CONTENT)} bytes"):
            await client.pull_blob(Reference.parse(f"{address}/x"), BLOB, store)
    assert leftovers(store) == []


async def test_concurrent_pulls_share_one_transfer_even_if_the_first_is_cancelled(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    asked, released = registry.faults.hold_blobs()
    pulls = [
        asyncio.create_task(client.pull_blob(registry.reference(f"hello:{number}"), BLOB, store))
        for number in range(10)
    ]
    await asked.wait()
    pulls[0].cancel()
    released.set()
    outcomes = await asyncio.gather(*pulls, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [store.path(BLOB.digest)] * 9
    assert registry.faults.count("GET", "/blobs/") == 1


async def test_a_pull_that_nobody_waits_for_any_more_ends(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT)
    asked, released = registry.faults.hold_blobs()
    before = asyncio.all_tasks()
    pull = asyncio.create_task(client.pull_blob(registry.reference("hello"), BLOB, store))
    await asked.wait()
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    released.set()
    assert leftovers(store) == []
    assert not [task for task in asyncio.all_tasks() - before if "download" in repr(task)]
    await client.pull_blob(registry.reference("hello"), BLOB, store)


async def test_chunks_arrive_in_order_and_whole(registry: RunningRegistry, client: RegistryClient) -> None:
    await client.push_blob(registry.reference("hello"), CONTENT, chunk_size=300_000)
    assert registry.faults.count("PATCH", "/blobs/uploads/") == 6
    assert await client.has_blob(registry.reference("hello"), BLOB.digest)


async def test_a_failed_chunk_is_sent_again_and_no_other(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    registry.faults.answer(502, method="PATCH", times=2)
    await client.push_blob(registry.reference("hello"), CONTENT, chunk_size=1_000_000)
    assert registry.faults.count("POST", "/blobs/uploads/") == 1
    assert registry.faults.count("PATCH", "/blobs/uploads/") == 4
    assert await client.has_blob(registry.reference("hello"), BLOB.digest)


async def test_a_failed_upload_in_one_piece_is_begun_again(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    registry.faults.answer(503, method="PUT", times=2)
    await client.push_blob(registry.reference("hello"), CONTENT)
    assert registry.faults.count("POST", "/blobs/uploads/") == 3


async def test_a_blob_that_is_not_there_is_named(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    with pytest.raises(BlobNotFoundError, match=BLOB.digest):
        await client.pull_blob(registry.reference("hello"), BLOB, store)


async def manifest_for(client: RegistryClient, reference: Reference) -> ImageManifest:
    blob = await client.push_blob(reference, b"{}")
    return ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=blob, layers=[blob])


async def test_a_manifest_is_found_by_tag_and_by_digest(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    reference = registry.reference("hello:1")
    manifest = await manifest_for(client, reference)
    digest = await client.put_manifest(reference, manifest)
    for name in ("hello:1", f"hello@{digest}", f"hello:other@{digest}"):
        fetched = await client.get_manifest(registry.reference(name))
        assert (fetched.document, fetched.digest) == (manifest, digest)
        assert fetched.content == encode(manifest)


async def test_a_manifest_that_is_not_there_is_named(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    reference = registry.reference("hello:nope")
    with pytest.raises(ManifestNotFoundError, match=str(reference)):
        await client.get_manifest(reference)


async def test_a_manifest_is_not_pushed_under_a_digest_that_is_not_its_own(
    registry: RunningRegistry, client: RegistryClient
) -> None:
    reference = registry.reference("hello:1")
    manifest = await manifest_for(client, reference)
    with pytest.raises(DigestMismatchError):
        await client.put_manifest(reference.at(digests.of(b"other")), manifest)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handlers: dict[str, Handler]) -> AsyncIterator[str]:
    """Serve handlers by path on a free port and yield the address."""
    application = web.Application()
    for path, handler in handlers.items():
        application.router.add_route("*", path, handler)
    async with http.listen(application, port=0, shutdown_timeout=0.1) as server:
        yield f"127.0.0.1:{server.port}"


async def test_the_registry_is_not_believed_about_digests(client: RegistryClient) -> None:
    wanted = digests.of(b"the real manifest")

    async def lie(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=b"{}", headers={"Docker-Content-Digest": wanted}, content_type=IMAGE_MANIFEST
        )

    async with serving({f"/v2/x/manifests/{wanted}": lie}) as address:
        with pytest.raises(DigestMismatchError, match="not what its digest says"):
            await client.get_manifest(Reference.parse(f"{address}/x@{wanted}"))


async def test_an_endless_manifest_is_not_read_to_its_end(client: RegistryClient) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 2**16)
        return response

    async with serving({"/v2/x/manifests/latest": endless}) as address:
        with pytest.raises(InvalidManifestError, match="over the limit"):
            await client.get_manifest(Reference.parse(f"{address}/x"))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("challenge", ["", "Basic realm=x", "Negotiate"])
async def test_a_refusal_without_a_way_in_is_unauthorized(
    client: RegistryClient, status: int, challenge: str
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        body = b'{"errors":[{"code":"DENIED","message":"no\\nway\\u001b[31m"}]}'
        return web.Response(status=status, body=body, headers={"WWW-Authenticate": challenge})

    async with serving({"/v2/x/manifests/latest": refuse}) as address:
        with pytest.raises(UnauthorizedError, match=r"denies access to manifest .*\(DENIED: no way \[31m\)"):
            await client.get_manifest(Reference.parse(f"{address}/x"))


async def test_basic_credentials_go_to_who_asks_for_them() -> None:
    seen: list[str | None] = []

    async def guarded(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        if seen[-1] is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
        return web.json_response({})

    async with (
        serving({"/v2/": guarded}) as address,
        RegistryClient(credentials={address: Credentials("me", "pass")}) as client,
    ):
        await client.ping(address)
        await client.ping(address)
    basic = Credentials("me", "pass").basic
    assert seen == [None, basic, basic]


@contextlib.asynccontextmanager
async def token_registry(log: list[str]) -> AsyncIterator[str]:
    """A registry that wants a bearer token, which it grants itself; `log` gets the scopes asked for."""
    realm = ""

    async def token(request: web.Request) -> web.StreamResponse:
        basic = request.headers.get("Authorization", "")
        user = next((user for user in ("me", "intruder") if Credentials(user, "pass").basic == basic), "-")
        log.append(f"{user} {request.query.get('service')} {request.query.get('scope')}")
        if user == "intruder":
            return web.Response(status=401)
        return web.json_response({"token": f"for-{request.query['scope']}", "expires_in": 300})

    async def blob(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer for-repository:x:pull":
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:x:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        return web.Response(status=200)

    async with serving({"/token": token, f"/v2/x/blobs/{BLOB.digest}": blob}) as address:
        realm = f"http://{address}/token"
        yield address


async def test_a_token_is_fetched_once_for_each_scope() -> None:
    log: list[str] = []
    async with (
        token_registry(log) as address,
        RegistryClient(credentials={address: Credentials("me", "pass")}) as client,
    ):
        reference = Reference.parse(f"{address}/x")
        found = await asyncio.gather(*(client.has_blob(reference, BLOB.digest) for _ in range(5)))
        assert await client.has_blob(reference, BLOB.digest)
    assert found == [True] * 5
    assert log == ["me reg repository:x:pull"]


async def test_public_repositories_need_no_credentials(client: RegistryClient) -> None:
    log: list[str] = []
    async with token_registry(log) as address:
        assert await client.has_blob(Reference.parse(f"{address}/x"), BLOB.digest)
    assert log == ["- reg repository:x:pull"]


async def test_wrong_credentials_are_said_to_be_wrong() -> None:
    async with (
        token_registry([]) as address,
        RegistryClient(credentials={address: Credentials("intruder", "pass")}) as client,
    ):
        with pytest.raises(UnauthorizedError, match="credentials are wrong") as caught:
            await client.has_blob(Reference.parse(f"{address}/x"), BLOB.digest)
    assert "pass" not in str(caught.value)


async def test_a_redirect_takes_no_credentials_elsewhere(store: BlobStore) -> None:
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=CONTENT)

    async with serving({"/cdn": elsewhere}) as cdn:

        async def blob(request: web.Request) -> web.StreamResponse:
            if "Authorization" not in request.headers:
                return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
            return web.Response(status=307, headers={"Location": f"http://{cdn}/cdn?signature=a%2Fb"})

        async with (
            serving({f"/v2/x/blobs/{BLOB.digest}": blob}) as address,
            RegistryClient(credentials={address: Credentials("me", "pass")}) as client,
        ):
            await client.pull_blob(Reference.parse(f"{address}/x"), BLOB, store)
    assert seen == [None]


@pytest.mark.parametrize(
    "location", ["", "/v2/x/manifests/latest", "file:///etc/passwd", "http://", "http://[", "\\"]
)
async def test_redirects_to_nowhere_and_in_circles_end(client: RegistryClient, location: str) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    async with serving({"/v2/x/manifests/latest": redirect}) as address:
        with pytest.raises(RegistryError):
            await client.get_manifest(Reference.parse(f"{address}/x"))


@pytest.mark.parametrize(
    ("registry", "reason"),
    [
        ("localhost:{closed}", "registry localhost:.* can't be reached: Connection refused"),
        ("127.0.0.1:{mute}", "did not answer in time"),
        ("127.0.0.1:{gone}", "registry .* broke the connection off"),
        ("0.0.0.0:{gone}", "can't be reached: it closed the connection"),
        ("0.0.0.0:{http}", "does not speak TLS"),
        ("no-such-host.invalid", "registry no-such-host.invalid has no address"),
    ],
)
async def test_a_registry_that_is_down_is_named_in_one_line(registry: str, reason: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as mute, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        speaking = await asyncio.start_server(speak_http, "127.0.0.1", 0)
        async with gone, speaking, RegistryClient(timeout=0.5, backoff=Backoff(initial=0)) as client:
            ports = {
                "closed": closed.getsockname()[1],
                "mute": mute.getsockname()[1],
                "gone": gone.sockets[0].getsockname()[1],
                "http": speaking.sockets[0].getsockname()[1],
            }
            with pytest.raises(RegistryUnavailableError, match=reason) as caught:
                await client.get_manifest(Reference.parse(f"{registry.format(**ports)}/x"))
    assert "\n" not in str(caught.value)


async def test_an_upload_that_is_not_taken_ends(registry: RunningRegistry) -> None:
    """A registry that accepts the connection and then reads nothing must not hang us."""
    location = ""

    async def begin(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404 if request.method == "HEAD" else 202, headers={"Location": location})

    with socket.create_server(("127.0.0.1", 0)) as mute:
        location = f"http://127.0.0.1:{mute.getsockname()[1]}/x"
        content = bytes(32 * 2**20)
        paths = ["/v2/x/blobs/uploads/", f"/v2/x/blobs/{digests.of(content)}"]
        async with (
            serving(dict.fromkeys(paths, begin)) as address,
            RegistryClient(timeout=0.2, backoff=Backoff(initial=0)) as client,
        ):
            with pytest.raises(RegistryUnavailableError, match="did not answer in time"):
                await client.push_blob(Reference.parse(f"{address}/x"), content)
