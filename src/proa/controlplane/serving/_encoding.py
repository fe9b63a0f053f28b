"""Answers in the encoding that their clients ask for: YAML, indented, compressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import msgspec
from aiohttp import web

from proa.controlplane._json import decode

from ._bodies import YAML

Encode = Callable[[bytes], bytes]
GZIP_FROM = 128 * 1024
"""Bytes from which compression is worth its time; Kubernetes has the same bound."""
GZIP_LEVEL = 1
INLINE = 64 * 1024
"""Bytes up to which an answer is encoded without a thread: it takes less than a millisecond."""


async def encoded(response: web.StreamResponse, request: web.BaseRequest) -> web.StreamResponse:
    """The answer as the request accepts it; streams are left as they are."""
    body = response.body if isinstance(response, web.Response) else None
    if type(body) is not bytes or not body:
        return response
    assert isinstance(response, web.Response)
    headers = request.headers
    accept = headers.get("Accept", "")
    if "yaml" in accept and response.content_type == "application/json" and prefers_yaml(accept):
        body = await _run(_yaml, body)
        response.headers["Content-Type"] = "application/yaml"
    elif "pretty=" in request.path_qs and response.content_type == "application/json":
        body = await _run(_indented, body)
    if len(body) >= GZIP_FROM and accepts_gzip(headers.get("Accept-Encoding", "")):
        body = await _run(_gzip, body)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    response.body = body
    return response


async def _run(encode: Encode, body: bytes) -> bytes:
    return encode(body) if len(body) <= INLINE else await asyncio.to_thread(encode, body)


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
