"""Reading requests: names checked before anything else sees them, bodies within bounds."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from proa.oci import digest as digests
from proa.oci.errors import InvalidDigestError
from proa.oci.reference import is_repository, is_tag
from proa.oci.registry._errors import ApiError

__all__ = (
    "body",
    "chunk_range",
    "digest_in",
    "limited_body",
    "page",
    "reference_in",
    "repository_in",
)

_PATIENCE: Final = 60.0
_MOST_PER_PAGE: Final = 1000


def repository_in(request: web.Request) -> str:
    """Return the repository that the path names."""
    name = request.match_info["name"]
    if not is_repository(name):
        raise ApiError(400, "NAME_INVALID", f"{name[:255]!r} is not a repository name")
    return name


def digest_in(text: str) -> str:
    """Return `text` if it is a digest."""
    try:
        return digests.check(text)
    except InvalidDigestError as error:
        raise ApiError(400, "DIGEST_INVALID", str(error)) from None


def reference_in(request: web.Request) -> tuple[str | None, str | None]:
    """Return the tag, or else the digest, that the path names."""
    text = request.match_info["reference"]
    if ":" in text:
        return None, digest_in(text)
    if not is_tag(text):
        raise ApiError(400, "MANIFEST_INVALID", f"{text[:128]!r} is neither a tag nor a digest")
    return text, None


def page(request: web.Request) -> tuple[str, int]:
    """Return after which name a list begins, and how many names it may have."""
    text = request.query.get("n", str(_MOST_PER_PAGE))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ApiError(400, "PAGINATION_NUMBER_INVALID", f"n={text[:20]!r} is not a number of names")
    return request.query.get("last", ""), min(int(text), _MOST_PER_PAGE)


def chunk_range(request: web.Request) -> tuple[int, int] | None:
    """Return first byte and length of the chunk that `Content-Range` announces, in the specification's `0-99`
    form.
    """
    text = request.headers.get("Content-Range")
    if text is None:
        return None
    match = re.fullmatch(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?", text.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise ApiError(416, "BLOB_UPLOAD_INVALID", f"Content-Range {text[:60]!r} is not FIRST-LAST")
    first, last = int(match[1]), int(match[2])
    return first, last - first + 1


async def body(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes; who sends nothing for a minute is not waited for any longer."""
    while True:
        try:
            async with asyncio.timeout(_PATIENCE):
                piece = await request.content.readany()
        except TimeoutError:
            raise ApiError(408, "BLOB_UPLOAD_INVALID", f"no data came for {_PATIENCE:g} seconds") from None
        if not piece:
            return
        yield piece


async def limited_body(request: web.Request, limit: int) -> bytes:
    """Return the whole body, if it has no more than `limit` bytes."""
    content = bytearray()
    async for piece in body(request):
        content += piece
        if len(content) > limit:
            raise ApiError(413, "SIZE_INVALID", f"manifests have at most {limit} bytes")
    return bytes(content)
