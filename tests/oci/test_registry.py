"""The registry as the distribution specification describes it, spoken to in plain HTTP."""

import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from proa.app.http import PortInUseError
from proa.oci import Registry, StorageError
from proa.oci import digest as digests
from proa.oci.manifest import IMAGE_INDEX, IMAGE_MANIFEST, MANIFEST_LIMIT
from proa.oci.registry._errors import ApiError
from proa.oci.registry._uploads import Uploads
from proa.oci.store import BlobStore
from proa.oci.testing import RunningRegistry, running_registry

CONTENT = b"0123456789"
DIGEST = digests.of(CONTENT)


class Api:
    """Requests to a registry, with the answers read whole."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(self._url + path, encoded=True)
        data = None if body is None else io.BytesIO(body)
        async with self._session.request(method, url, data=data, headers=names) as response:
            return response.status, response.headers, await response.read()

    async def expect(
        self, status: int, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Any:
        actual, found, content = await self(method, path, body, **headers)
        assert actual == status, content
        return found if status < 300 else code_of(content)

    async def push(self, repository: str, content: bytes = CONTENT) -> str:
        digest = digests.of(content)
        await self.expect(201, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        return digest

    async def begin(self, repository: str = "r") -> str:
        return str((await self.expect(202, "POST", f"/v2/{repository}/blobs/uploads/"))["Location"])


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def code_of(content: bytes) -> str:
    return str(msgspec.json.decode(content)["errors"][0]["code"])


@pytest.fixture
async def api(registry: RunningRegistry) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, registry.url)


def manifest(*layers: str, **changes: object) -> bytes:
    parts = [{"mediaType": "application/x", "digest": digest, "size": 1} for digest in (DIGEST, *layers)]
    document = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": parts[0], "layers": parts[1:]}
    return msgspec.json.encode(document | changes)


async def test_the_version_check_answers(api: Api) -> None:
    for path in ("/v2/", "/v2"):
        assert (await api.expect(200, "GET", path))["Docker-Distribution-API-Version"] == "registry/2.0"


async def test_a_blob_can_be_read_whole_in_part_and_not_at_all(api: Api) -> None:
    await api.push("r")
    path = f"/v2/r/blobs/{DIGEST}"
    status, headers, body = await api("GET", path)
    assert (status, body) == (200, CONTENT)
    assert headers["Docker-Content-Digest"] == DIGEST
    assert headers["Content-Type"] == "application/octet-stream"
    status, headers, body = await api("HEAD", path)
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    status, headers, body = await api("GET", path, Range="bytes=4-")
    assert (status, headers["Content-Range"], body) == (206, "bytes 4-9/10", b"456789")
    assert (await api("GET", path, Range="bytes=10-"))[0] == 416
    assert await api.expect(404, "GET", f"/v2/r/blobs/{digests.of(b'')}") == "BLOB_UNKNOWN"
    assert await api.expect(404, "GET", f"/v2/other/blobs/{DIGEST}") == "BLOB_UNKNOWN"
    assert await api.expect(400, "GET", "/v2/r/blobs/sha256:xyz") == "DIGEST_INVALID"


async def test_an_upload_goes_chunk_by_chunk(api: Api) -> None:
    location = await api.begin()
    headers = await api.expect(202, "PATCH", location, CONTENT[:4], Content_Range="0-3")
    assert headers["Range"] == "0-3"
    headers = await api.expect(202, "PATCH", headers["Location"], CONTENT[4:8], Content_Range="4-7")
    assert (await api.expect(204, "GET", headers["Location"]))["Range"] == "0-7"
    headers = await api.expect(201, "PUT", f"{location}?digest={DIGEST}", CONTENT[8:], Content_Range="8-9")
    assert headers["Location"] == f"/v2/r/blobs/{DIGEST}"
    assert (await api("GET", headers["Location"]))[2] == CONTENT
    assert await api.expect(404, "GET", location) == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("content_range", ["0-3", "5-8", "9-2", "x", "4-", "-4", "4-7,8-9", "4"])
async def test_a_chunk_out_of_place_is_refused_and_the_upload_goes_on(api: Api, content_range: str) -> None:
    location = await api.begin()
    await api.expect(202, "PATCH", location, CONTENT[:4], Content_Range="0-3")
    status, _, body = await api("PATCH", location, CONTENT[4:8], Content_Range=content_range)
    assert (status, code_of(body)) == (416, "BLOB_UPLOAD_INVALID")
    assert (await api.expect(204, "GET", location))["Range"] == "0-3"
    await api.expect(201, "PUT", f"{location}?digest={DIGEST}", CONTENT[4:], Content_Range="4-9")


async def test_a_chunk_of_another_length_than_its_range_is_refused(api: Api) -> None:
    location = await api.begin()
    assert await api.expect(400, "PATCH", location, CONTENT, Content_Range="0-3") == "SIZE_INVALID"


async def test_a_wrong_digest_is_refused_and_the_right_one_can_follow(api: Api) -> None:
    wrong = digests.of(b"wrong")
    location = await api.begin()
    assert await api.expect(400, "PUT", f"{location}?digest={wrong}", CONTENT) == "DIGEST_INVALID"
    assert await api.expect(400, "PUT", f"{await api.begin()}?digest=nonsense", CONTENT) == "DIGEST_INVALID"
    assert await api.expect(400, "PUT", await api.begin(), CONTENT) == "DIGEST_INVALID"
    assert await api.expect(404, "GET", f"/v2/r/blobs/{wrong}") == "BLOB_UNKNOWN"
    await api.push("r")


async def test_an_upload_belongs_to_its_repository_and_can_be_cancelled(api: Api) -> None:
    location = await api.begin("mine")
    assert await api.expect(404, "PATCH", location.replace("mine", "yours"), b"x") == "BLOB_UPLOAD_UNKNOWN"
    await api.expect(204, "DELETE", location)
    assert await api.expect(404, "PATCH", location, b"x") == "BLOB_UPLOAD_UNKNOWN"


async def test_a_blob_is_mounted_from_another_repository(api: Api) -> None:
    await api.push("a")
    headers = await api.expect(201, "POST", f"/v2/b/blobs/uploads/?mount={DIGEST}&from=a")
    assert (await api("GET", headers["Location"]))[2] == CONTENT
    await api.expect(202, "POST", f"/v2/c/blobs/uploads/?mount={digests.of(b'')}&from=a")
    await api.expect(202, "POST", f"/v2/c/blobs/uploads/?mount={DIGEST}&from=../a")


async def test_a_blob_is_kept_as_long_as_one_repository_has_it(api: Api, tmp_path: Path) -> None:
    await api.push("a")
    await api.push("b")
    content = BlobStore(tmp_path / "registry").path(DIGEST)
    await api.expect(202, "DELETE", f"/v2/a/blobs/{DIGEST}")
    assert await api.expect(404, "DELETE", f"/v2/a/blobs/{DIGEST}") == "BLOB_UNKNOWN"
    assert content.exists()
    await api.expect(202, "DELETE", f"/v2/b/blobs/{DIGEST}")
    assert not content.exists()


async def test_a_manifest_is_kept_under_its_tag_and_digest(api: Api) -> None:
    await api.push("r")
    content = manifest()
    digest = digests.of(content)
    headers = await api.expect(201, "PUT", "/v2/r/manifests/v1", content, Content_Type=IMAGE_MANIFEST)
    assert headers["Docker-Content-Digest"] == digest
    for reference in ("v1", digest):
        status, headers, body = await api("GET", f"/v2/r/manifests/{reference}")
        assert (status, headers["Content-Type"], body) == (200, IMAGE_MANIFEST, content)
        status, headers, body = await api("HEAD", f"/v2/r/manifests/{reference}")
        assert (status, headers["Content-Length"], body) == (200, str(len(content)), b"")
    await api.expect(202, "DELETE", "/v2/r/manifests/v1")
    assert await api.expect(404, "GET", "/v2/r/manifests/v1") == "MANIFEST_UNKNOWN"
    await api.expect(202, "DELETE", f"/v2/r/manifests/{digest}")
    assert await api.expect(404, "DELETE", f"/v2/r/manifests/{digest}") == "MANIFEST_UNKNOWN"


async def test_deleting_a_manifest_takes_its_tags(api: Api) -> None:
    await api.push("r")
    for tag in ("v1", "v2"):
        await api.expect(201, "PUT", f"/v2/r/manifests/{tag}", manifest(), Content_Type=IMAGE_MANIFEST)
    await api.expect(202, "DELETE", f"/v2/r/manifests/{digests.of(manifest())}")
    assert msgspec.json.decode((await api("GET", "/v2/r/tags/list"))[2]) == {"name": "r", "tags": []}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "MANIFEST_INVALID"),
        (manifest(schemaVersion=1), "MANIFEST_INVALID"),
        (manifest(mediaType=IMAGE_INDEX, manifests=[]), "MANIFEST_INVALID"),
        (manifest(digests.of(b"missing")), "MANIFEST_BLOB_UNKNOWN"),
    ],
)
async def test_a_manifest_that_can_not_be_served_is_refused(api: Api, body: bytes, code: str) -> None:
    await api.push("r")
    assert await api.expect(400, "PUT", "/v2/r/manifests/v1", body, Content_Type=IMAGE_MANIFEST) == code


async def test_a_manifest_must_be_its_digest_and_of_bearable_size(api: Api) -> None:
    await api.push("r")
    path = f"/v2/r/manifests/{digests.of(b'other')}"
    assert await api.expect(400, "PUT", path, manifest(), Content_Type=IMAGE_MANIFEST) == "DIGEST_INVALID"
    body = b" " * (MANIFEST_LIMIT + 1)
    assert await api.expect(413, "PUT", "/v2/r/manifests/v1", body) == "SIZE_INVALID"


async def test_tags_and_repositories_are_listed_page_by_page(api: Api) -> None:
    for repository in ("b/c", "a", "b"):
        await api.push(repository)
        for tag in ("v2", "v10", "V1"):
            path = f"/v2/{repository}/manifests/{tag}"
            await api.expect(201, "PUT", path, manifest(), Content_Type=IMAGE_MANIFEST)
    assert await pages(api, "/v2/a/tags/list?n=2", "tags") == [["V1", "v10"], ["v2"]]
    assert await pages(api, "/v2/a/tags/list?n=3", "tags") == [["V1", "v10", "v2"]]
    assert await pages(api, "/v2/a/tags/list?last=v10", "tags") == [["v2"]]
    assert await pages(api, "/v2/a/tags/list?n=0", "tags") == [[]]
    assert await pages(api, "/v2/_catalog?n=2", "repositories") == [["a", "b"], ["b/c"]]
    assert await api.expect(404, "GET", "/v2/nope/tags/list") == "NAME_UNKNOWN"
    assert await api.expect(400, "GET", "/v2/a/tags/list?n=-1") == "PAGINATION_NUMBER_INVALID"


async def pages(api: Api, path: str, key: str) -> list[list[str]]:
    found = []
    while True:
        status, headers, body = await api("GET", path)
        assert status == 200
        found.append(msgspec.json.decode(body)[key])
        if "Link" not in headers:
            return found
        path = headers["Link"].removeprefix("<").removesuffix('>; rel="next"')


async def test_referrers_are_listed_and_filtered(api: Api) -> None:
    await api.push("r")
    subject = {"mediaType": IMAGE_MANIFEST, "digest": digests.of(manifest()), "size": 1}
    for number, kind in enumerate(("sbom", "signature")):
        body = manifest(subject=subject, artifactType=f"application/{kind}", annotations={"n": str(number)})
        headers = await api.expect(201, "PUT", f"/v2/r/manifests/{kind}", body, Content_Type=IMAGE_MANIFEST)
        assert headers["OCI-Subject"] == subject["digest"]
    status, headers, content = await api("GET", f"/v2/r/referrers/{subject['digest']}")
    index = msgspec.json.decode(content)
    assert (status, headers["Content-Type"], len(index["manifests"])) == (200, IMAGE_INDEX, 2)
    path = f"/v2/r/referrers/{subject['digest']}?artifactType=application/sbom"
    status, headers, content = await api("GET", path)
    [only] = msgspec.json.decode(content)["manifests"]
    assert headers["OCI-Filters-Applied"] == "artifactType"
    assert (only["artifactType"], only["annotations"]) == ("application/sbom", {"n": "0"})
    status, _, content = await api("GET", f"/v2/none/referrers/{subject['digest']}")
    assert (status, msgspec.json.decode(content)["manifests"]) == (200, [])


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc",
        "%2e%2e/%2e%2e",
        "..",
        "a/../b",
        "UPPER",
        "_uploads",
        "a//b",
        "a%00b",
        "%c3%a4",
        "a" * 256,
        ".",
    ],
)
@pytest.mark.parametrize("rest", ["manifests/latest", f"blobs/{DIGEST}", "tags/list", "blobs/uploads/"])
async def test_hostile_names_are_refused(api: Api, name: str, rest: str, tmp_path: Path) -> None:
    method = "POST" if rest.endswith("uploads/") else "GET"
    status, _, body = await api(method, f"/v2/{name}/{rest}")
    assert status in {400, 404}
    assert code_of(body) in {"NAME_INVALID", "UNSUPPORTED"}
    assert files_below(tmp_path) == {"registry/catalog.db", "registry/catalog.db-wal"}


@pytest.mark.parametrize("reference", ["..%2fx", ".hidden", "a" * 129, "sha256:zz", "a%20b"])
async def test_hostile_references_are_refused(api: Api, reference: str) -> None:
    assert await api.expect(400, "GET", f"/v2/r/manifests/{reference}") in {
        "MANIFEST_INVALID",
        "DIGEST_INVALID",
    }


async def test_methods_and_paths_that_do_not_exist_get_the_error_document(api: Api) -> None:
    assert await api.expect(405, "POST", "/v2/") == "UNSUPPORTED"
    assert await api.expect(404, "GET", "/v2/r/nothing") == "UNSUPPORTED"


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with running_registry(tmp_path) as registry:
            api = Api(session, registry.url)
            await api.push("r")
            await api.expect(201, "PUT", "/v2/r/manifests/v1", manifest(), Content_Type=IMAGE_MANIFEST)
            await api.begin()
        async with running_registry(tmp_path) as registry:
            api = Api(session, registry.url)
            assert (await api("GET", "/v2/r/manifests/v1"))[2] == manifest()
            assert (await api("GET", f"/v2/r/blobs/{DIGEST}"))[2] == CONTENT


async def test_a_state_directory_that_can_not_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="a file is where a directory should be"):
        await Registry(data_dir=tmp_path / "file", port=0).__aenter__()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "catalog.db").write_bytes(b"this is no database, " * 100)
    with pytest.raises(StorageError, match=r"catalog.db is damaged .* move it away"):
        await Registry(data_dir=tmp_path / "damaged", port=0).__aenter__()
    with pytest.raises(StorageError, match="can't use /proc/proa"):
        await Registry(data_dir=Path("/proc/proa"), port=0).__aenter__()


async def test_one_directory_serves_one_registry(tmp_path: Path) -> None:
    async with running_registry(tmp_path):
        with pytest.raises(StorageError, match="in use by another process"):
            await Registry(data_dir=tmp_path, port=0).__aenter__()


async def test_a_port_in_use_leaves_the_state_free(registry: RunningRegistry, tmp_path: Path) -> None:
    port = int(registry.url.rpartition(":")[2])
    with pytest.raises(PortInUseError, match=str(port)):
        await Registry(data_dir=tmp_path / "other", port=port).__aenter__()
    async with running_registry(tmp_path / "other"):
        pass


async def test_uploads_that_nobody_touches_expire(tmp_path: Path) -> None:
    now = 0.0
    blobs = BlobStore(tmp_path)
    uploads = Uploads(blobs, max_idle=10, clock=lambda: now)
    stale, fresh = uploads.begin("r"), uploads.begin("r")
    async with uploads.use("r", stale.id) as upload:
        await upload.writer.write(bytes(2**20))
    now = 8
    async with uploads.use("r", fresh.id):
        now = 11
        await uploads.expire()
    async with uploads.use("r", fresh.id):
        pass
    with pytest.raises(ApiError, match="BLOB_UPLOAD_UNKNOWN"):
        async with uploads.use("r", stale.id):
            pass
    assert files_below(tmp_path) == set()


async def test_uploads_are_bounded_in_number(tmp_path: Path) -> None:
    uploads = Uploads(BlobStore(tmp_path), max_idle=10)
    for _ in range(256):
        uploads.begin("r")
    with pytest.raises(ApiError, match="TOOMANYREQUESTS"):
        uploads.begin("r")
