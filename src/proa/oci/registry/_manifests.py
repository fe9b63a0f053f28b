"""The manifest half of the distribution API: manifests, tags, referrers and the list of repositories."""

from collections.abc import Sequence
from urllib.parse import urlencode

from aiohttp import web
from msgspec import json

from proa.oci import digest as digests
from proa.oci.errors import BlobNotFoundError, InvalidManifestError
from proa.oci.manifest import (
    ACCEPTED,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    MANIFEST_LIMIT,
    Descriptor,
    ImageIndex,
    ImageManifest,
    encode,
    parse,
)
from proa.oci.registry._catalog import Catalog, ManifestRecord
from proa.oci.registry._errors import ApiError
from proa.oci.registry._requests import digest_in, limited_body, page, reference_in, repository_in
from proa.oci.registry._state import State

__all__ = ("ManifestHandlers",)


class ManifestHandlers:
    """Handlers of manifests, `tags/list`, `referrers` and `_catalog`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        manifest = "/v2/{name:.+}/manifests/{reference}"
        router.add_get(manifest, self.get)
        router.add_put(manifest, self.put)
        router.add_delete(manifest, self.delete)
        router.add_get("/v2/{name:.+}/tags/list", self.tags)
        router.add_get("/v2/{name:.+}/referrers/{digest}", self.referrers)
        router.add_get("/v2/_catalog", self.repositories)

    async def get(self, request: web.Request) -> web.Response:
        """GET and HEAD of a manifest by tag or digest."""
        repository = repository_in(request)
        record = await self._find(request, repository)
        try:
            content = await self._state.blobs.read(record.digest)
        except BlobNotFoundError:  # deleted this very moment
            raise _unknown(repository, record.digest) from None
        headers = {"Content-Type": record.media_type, "Docker-Content-Digest": record.digest}
        return web.Response(body=content, headers=headers)

    async def put(self, request: web.Request) -> web.Response:
        """Take a manifest whose parts are all here."""
        repository = repository_in(request)
        tag, expected = reference_in(request)
        content = await limited_body(request, MANIFEST_LIMIT)
        digest = _digest(content, expected)
        try:
            document = parse(content, request.content_type)
        except InvalidManifestError as error:
            raise ApiError(400, "MANIFEST_INVALID", str(error)) from None
        record = _record(document, digest, _media_type(document, request.content_type), len(content))
        missing = await self._state.put_manifest(repository, content, record, tag, *_parts(document))
        if missing:
            raise ApiError(
                400, "MANIFEST_BLOB_UNKNOWN", f"{repository} lacks {', '.join(missing[:5])}: push it first"
            )
        headers = {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": digest}
        if record.subject is not None:
            headers["OCI-Subject"] = record.subject
        return web.Response(status=201, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a tag, or a manifest with all its tags."""
        repository = repository_in(request)
        tag, digest = reference_in(request)
        if tag is not None:
            found = await self._state.ask(Catalog.remove_tag, repository, tag)
        else:
            found = await self._state.remove_manifest(repository, digest or "")
        if not found:
            raise _unknown(repository, tag or digest or "")
        return web.Response(status=202)

    async def tags(self, request: web.Request) -> web.Response:
        """List tags in order, page by page."""
        repository, (last, limit) = repository_in(request), page(request)
        if not await self._state.ask(Catalog.has_repository, repository):
            raise ApiError(404, "NAME_UNKNOWN", f"there is no repository {repository}")
        found = await self._state.ask(Catalog.tags, repository, last, limit + 1)
        return _listed({"name": repository, "tags": found[:limit]}, request, found, limit)

    async def repositories(self, request: web.Request) -> web.Response:
        """List repositories in order, page by page."""
        last, limit = page(request)
        found = await self._state.ask(Catalog.repositories, last, limit + 1)
        return _listed({"repositories": found[:limit]}, request, found, limit)

    async def referrers(self, request: web.Request) -> web.Response:
        """List the manifests whose subject a digest is, as an image index."""
        repository, subject = repository_in(request), digest_in(request.match_info["digest"])
        records = await self._state.ask(Catalog.referrers, repository, subject)
        wanted = request.query.get("artifactType")
        chosen = [_descriptor(record) for record in records if wanted in {None, record.artifact_type}]
        index = ImageIndex(schema_version=2, media_type=IMAGE_INDEX, manifests=chosen)
        headers = {"Content-Type": IMAGE_INDEX} | ({"OCI-Filters-Applied": "artifactType"} if wanted else {})
        return web.Response(body=encode(index), headers=headers)

    async def _find(self, request: web.Request, repository: str) -> ManifestRecord:
        tag, digest = reference_in(request)
        if tag is not None:
            digest = await self._state.ask(Catalog.resolve, repository, tag)
        record = await self._state.ask(Catalog.manifest, repository, digest) if digest is not None else None
        if record is None:
            raise _unknown(repository, tag or digest or "")
        return record


def _unknown(repository: str, reference: str) -> ApiError:
    return ApiError(404, "MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")


def _digest(content: bytes, expected: str | None) -> str:
    if expected is None:
        return digests.of(content)
    hasher = digests.hasher(expected)
    hasher.update(content)
    actual = f"{hasher.name}:{hasher.hexdigest()}"
    if actual != expected:
        raise ApiError(400, "DIGEST_INVALID", f"the manifest is {actual}, not {expected}")
    return actual


def _media_type(document: ImageManifest | ImageIndex, stated: str) -> str:
    if stated not in ACCEPTED:
        stated = IMAGE_INDEX if isinstance(document, ImageIndex) else IMAGE_MANIFEST
    return document.media_type or stated


def _record(document: ImageManifest | ImageIndex, digest: str, media_type: str, size: int) -> ManifestRecord:
    config_type = document.config.media_type if isinstance(document, ImageManifest) else None
    subject = document.subject.digest if document.subject is not None else None
    return ManifestRecord(
        digest, media_type, size, subject, document.artifact_type or config_type, document.annotations
    )


def _parts(document: ImageManifest | ImageIndex) -> tuple[list[str], list[str]]:
    """Return the digests of the blobs and of the manifests that must be here. Layers with URLs are kept
    elsewhere.
    """
    if isinstance(document, ImageIndex):
        return [], [entry.digest for entry in document.manifests]
    return [part.digest for part in [document.config, *document.layers] if not part.urls], []


def _descriptor(record: ManifestRecord) -> Descriptor:
    return Descriptor(
        media_type=record.media_type,
        digest=record.digest,
        size=record.size,
        artifact_type=record.artifact_type,
        annotations=record.annotations,
    )


def _listed(document: object, request: web.Request, found: Sequence[str], limit: int) -> web.Response:
    headers = {}
    if len(found) > limit > 0:
        query = urlencode({"n": limit, "last": found[limit - 1]})
        headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return web.Response(body=json.encode(document), content_type="application/json", headers=headers)
