"""Answers in the encoding that their clients ask for: YAML, indented, compressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import msgspec
from aiohttp import payload, web

from proa.controlplane._json import decode

from ._bodies import YAML
from ._pieces import Pieces
from ._responses import Plain

Encode = Callable[[bytes], bytes]
GZIP_FROM = 128 * 1024
"""Bytes from which compression is worth its time; Kubernetes has the same bound."""
GZIP_LEVEL = 1
INLINE = 64 * 1024
"""Bytes up to which an answer is encoded without a thread: it takes less than a millisecond."""


async def encoded(response: web.StreamResponse, request: web.BaseRequest) -> web.StreamResponse:
    """The answer as the request accepts it; streams are left as they are."""
    if isinstance(response, Plain):
        if _as_it_is(response, request):
            return response
        response = response.full()
    if not isinstance(response, web.Response) or not response.body:
        return response
    accept = request.headers.get("Accept", "")
    if "yaml" in accept and prefers_yaml(accept) and response.content_type == "application/json":
        response.body = await _run(_yaml, response.body)
        response.headers["Content-Type"] = "application/yaml"
    elif "pretty=" in request.raw_path and response.content_type == "application/json":
        response.body = await _run(_indented, response.body)
    if _size(response.body) >= GZIP_FROM and accepts_gzip(request.headers.get("Accept-Encoding", "")):
        response.body = await _run(_gzip, response.body)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


def _as_it_is(response: Plain, request: web.BaseRequest) -> bool:
    accept = request.headers.get("Accept", "")
    return (
        len(response.content) < GZIP_FROM
        and "yaml" not in accept
        and "pretty=" not in request.raw_path
        and response.suits(request)
    )


Body = bytes | bytearray | payload.Payload


def _size(body: Body) -> int:
    return (body.size or 0) if isinstance(body, payload.Payload) else len(body)


async def _run(encode: Encode, body: Body) -> bytes:
    whole = body.joined() if isinstance(body, Pieces) else body
    assert isinstance(whole, bytes)
    return encode(whole) if len(whole) <= INLINE else await asyncio.to_thread(encode, whole)


def prefers_yaml(accept: str) -> bool:
    """Whether YAML is the first form of an `Accept` header that we have."""
    for choice in accept.split(","):
        media_type = choice.partition(";")[0].strip()
        if media_type in YAML:
            return True
        if media_type in {"application/json", "application/*", "*/*"}:
            return False
    return False


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` header takes gzip."""
    for choice in header.split(","):
        coding, _, quality = choice.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def _yaml(body: bytes) -> bytes:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(decode(body), Dumper=dumper, allow_unicode=True, sort_keys=False)
    return text.encode()


def _indented(body: bytes) -> bytes:
    return msgspec.json.format(body, indent=2) + b"\n"
