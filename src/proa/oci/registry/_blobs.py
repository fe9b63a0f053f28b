"""The blob half of the distribution API: reading, deleting, and uploads in all their forms."""

from aiohttp import web

from proa.oci.errors import DigestMismatchError
from proa.oci.reference import is_repository
from proa.oci.registry._catalog import Catalog
from proa.oci.registry._errors import ApiError
from proa.oci.registry._requests import body, chunk_range, digest_in, repository_in
from proa.oci.registry._state import State
from proa.oci.registry._uploads import Upload, Uploads

__all__ = ("BlobHandlers",)


class BlobHandlers:
    """Handlers of `/v2/NAME/blobs/...`."""

    def __init__(self, state: State, uploads: Uploads) -> None:
        self._state = state
        self._uploads = uploads

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        uploads, upload = "/v2/{name:.+}/blobs/uploads/", "/v2/{name:.+}/blobs/uploads/{id:[0-9a-f]+}"
        router.add_post(uploads, self.begin)
        router.add_post(uploads.rstrip("/"), self.begin)
        router.add_patch(upload, self.append)
        router.add_put(upload, self.finish)
        router.add_get(upload, self.status, allow_head=False)
        router.add_delete(upload, self.cancel)
        blob = "/v2/{name:.+}/blobs/{digest}"
        router.add_get(blob, self.get)
        router.add_delete(blob, self.delete)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET (ranges too) and HEAD of a blob."""
        repository, digest = repository_in(request), digest_in(request.match_info["digest"])
        if not await self._state.ask(Catalog.has_blob, repository, digest):
            raise ApiError(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        return web.FileResponse(
            self._state.blobs.path(digest),
            headers={"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest},
        )

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a blob from one repository."""
        repository, digest = repository_in(request), digest_in(request.match_info["digest"])
        if not await self._state.remove_blob(repository, digest):
            raise ApiError(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        return web.Response(status=202)

    async def begin(self, request: web.Request) -> web.Response:
        """Begin an upload, or do all of it at once: `?digest=` with a body, `?mount=&from=` without."""
        repository = repository_in(request)
        if (wanted := request.query.get("mount")) is not None:
            digest, source = digest_in(wanted), request.query.get("from", "")
            if is_repository(source) and await self._state.mount_blob(repository, source, digest):
                return _created(repository, digest)
        if (wanted := request.query.get("digest")) is None:
            upload = self._uploads.begin(repository)
            return web.Response(status=202, headers=upload.headers)
        digest = digest_in(wanted)
        upload = self._uploads.begin(repository)
        async with self._uploads.use(repository, upload.id):
            return await self._complete(request, upload, digest)

    async def append(self, request: web.Request) -> web.Response:
        """Take a chunk, which must begin where the last one ended."""
        async with self._uploads.use(repository_in(request), request.match_info["id"]) as upload:
            await _receive(request, upload)
            return web.Response(status=202, headers=upload.headers)

    async def finish(self, request: web.Request) -> web.Response:
        """Take the last chunk, if any, and keep the blob."""
        digest = digest_in(request.query.get("digest", ""))
        async with self._uploads.use(repository_in(request), request.match_info["id"]) as upload:
            return await self._complete(request, upload, digest)

    async def status(self, request: web.Request) -> web.Response:
        """Say how much has arrived."""
        async with self._uploads.use(repository_in(request), request.match_info["id"]) as upload:
            return web.Response(status=204, headers=upload.headers)

    async def cancel(self, request: web.Request) -> web.Response:
        """Give an upload up."""
        async with self._uploads.use(repository_in(request), request.match_info["id"]) as upload:
            await self._uploads.end(upload)
            return web.Response(status=204)

    async def _complete(self, request: web.Request, upload: Upload, digest: str) -> web.Response:
        """Receive what is still to come and keep the blob. Only a broken transfer leaves the upload to be
        resumed.
        """
        await _receive(request, upload)
        try:
            await self._state.add_blob(upload.repository, upload.writer, digest)
        except DigestMismatchError as error:
            raise ApiError(400, "DIGEST_INVALID", str(error)) from None
        finally:
            await self._uploads.end(upload)
        return _created(upload.repository, digest)


async def _receive(request: web.Request, upload: Upload) -> None:
    chunk = chunk_range(request)
    if chunk is not None:
        _check_chunk(request, upload, *chunk)
    async for piece in body(request):
        await upload.writer.write(piece)


def _check_chunk(request: web.Request, upload: Upload, first: int, length: int) -> None:
    if first != upload.writer.offset:
        message = f"the chunk begins at {first}, but {upload.writer.offset} bytes have arrived"
        raise ApiError(416, "BLOB_UPLOAD_INVALID", message, upload.headers)
    if request.content_length not in {None, length}:
        raise ApiError(400, "SIZE_INVALID", "Content-Range and Content-Length disagree")


def _created(repository: str, digest: str) -> web.Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)
