"""What a request's body holds."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from aiohttp import web

from proa.controlplane import protobuf
from proa.controlplane._errors import StatusError, bad_request, quoted, unsupported_media_type
from proa.controlplane._json import (
    MAX_VALUES,
    TooManyValuesError,
    UnreadableError,
    check_values,
    decode,
    decode_yaml,
    encode,
    may_hold_too_many,
)
from proa.controlplane.schema import Conformer, NonconformingError, problems, type_of_kind

MAX_BODY = 3 * 1024 * 1024
JSON = "application/json"
YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
INLINE = 32 * 1024
"""Bytes up to which a body of any type is decoded without a thread."""
MOST_TOLD = 100
"""How many duplicate fields clients are told of, as with Kubernetes."""
_SLOW = YAML | {protobuf.MEDIA_TYPE}


async def read(request: web.BaseRequest) -> bytes:
    """The body, if it is not too large, in bytes or (of JSON) in values.

    Raises:
        StatusError: 413.
    """
    if not request.body_exists:
        return b""
    try:
        # What has come with the head, as most bodies do, is taken at once.
        data = request.content.read_nowait() if request.content.is_eof() else await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large(f"limit is {MAX_BODY}") from error
    if len(data) > MAX_BODY:
        raise _too_large(f"limit is {MAX_BODY}")
    if content_type(request) == protobuf.MEDIA_TYPE and not protobuf.messages.cache_info().currsize:
        await asyncio.to_thread(protobuf.messages)  # the first such body: the table is in a file
    if may_hold_too_many(data) and content_type(request) not in _SLOW:
        try:
            await asyncio.to_thread(check_values, data)
        except TooManyValuesError as error:
            raise _too_large(f"limit is {MAX_VALUES} values") from error
    return data


def _too_large(why: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {why}", {})


def content_type(request: web.BaseRequest) -> str:
    """The body's media type, without parameters."""
    return _media_type(request.headers.get("Content-Type", ""))


@lru_cache(64)
def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(("", JSON, "*/*", "application/x-www-form-urlencoded"), decode),
    **dict.fromkeys(YAML, decode_yaml),
    protobuf.MEDIA_TYPE: protobuf.decode,
}


async def read_object(request: web.BaseRequest, kind: str) -> tuple[bytes, dict[str, Any]]:
    """The body, and the object that it holds; `kind` is what it should be.

    Large bodies that are not JSON are decoded in a thread: that takes up to some seconds.

    Raises:
        StatusError: 400, 413 or 415.
    """
    data, media_type = await read(request), content_type(request)
    if len(data) > INLINE and media_type in _SLOW:
        return data, await asyncio.to_thread(parse_object, data, media_type, kind)
    return data, parse_object(data, media_type, kind)


def parse_object(data: bytes, media_type: str, kind: str) -> dict[str, Any]:
    """The object that a body holds; `kind` is what it should be.

    Raises:
        StatusError: 400 it is no object, 415 its media type is not one that we read.
    """
    decoder = _DECODERS.get(media_type)
    if decoder is None:
        known = f"{JSON}, application/yaml, {protobuf.MEDIA_TYPE}"
        message = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise unsupported_media_type(message)
    try:
        value = decoder(data)
    except UnreadableError as error:
        message = f"the object provided is unrecognized (must be of type {kind}): {error}"
        raise bad_request(message) from error
    if type(value) is not dict:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): it is not an object"
        )
    return value


async def read_typed(request: web.BaseRequest, group: str, kind: str) -> dict[str, Any]:
    """The body as an object of a type that is not stored.

    Raises:
        StatusError: 400, 413 or 415.
    """
    _, document = await read_object(request, kind)
    if document.get("kind", kind) != kind:
        raise bad_request(f"{quoted(document['kind'])} cannot be handled as a {kind}")
    return typed(document, group, kind)


def typed(document: dict[str, Any], group: str, kind: str) -> dict[str, Any]:
    """A body as its type has it.

    Raises:
        StatusError: 400, a value has the wrong type.
    """
    name = type_of_kind(group, "v1", kind) or ""
    try:
        return _conformer(name)(document)
    except NonconformingError:
        mistyped = problems(name, document).mistyped
        why = mistyped[0] if mistyped else "it does not have the type's form"
        raise bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: {why}') from None


@cache
def _conformer(type_name: str) -> Conformer:
    """What makes bodies of a type conform: made once, for that costs more than to use it."""
    return Conformer(type_name)


async def read_configuration(request: web.BaseRequest) -> dict[str, Any]:
    """The body as `parse_configuration` has it, in a thread if it is large YAML.

    Raises:
        StatusError: 400 or 413.
    """
    data = await read(request)
    if len(data) > INLINE and not data.lstrip().startswith(b"{"):
        return await asyncio.to_thread(parse_configuration, data)
    return parse_configuration(data)


def parse_configuration(data: bytes) -> dict[str, Any]:
    """The configuration that a server-side apply sends: YAML, and so perhaps JSON.

    Raises:
        StatusError: 400.
    """
    try:
        value = decode(data) if data.lstrip().startswith(b"{") else decode_yaml(data)
    except UnreadableError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    if type(value) is not dict or (value.get("metadata") and type(value["metadata"]) is not dict):
        raise bad_request("error decoding YAML: the configuration is not an object")
    return value


def is_compact(data: bytes, document: dict[str, Any]) -> bool:
    """Whether a JSON text has just what its object needs, and so nothing twice: quickly told of what most
    clients send.
    """
    return len(data) == len(encode(document))


class _Repeating(dict[str, Any]):
    """An object of a JSON text, and the names that occur in it again."""

    repeated: tuple[str, ...] = ()


def duplicate_fields(data: bytes) -> list[str]:
    """The paths of fields that occur again in one object of a JSON text, as `spec.containers[0].name`."""
    are_any = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal are_any
        result = dict(pairs)
        are_any |= len(result) < len(pairs)
        return result

    json.loads(data, object_pairs_hook=look)
    return _duplicate_paths(data) if are_any else []


def _duplicate_paths(data: bytes) -> list[str]:
    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = _Repeating(pairs)
        counts = Counter(name for name, _ in pairs)
        result.repeated = tuple(name for name, count in counts.items() if count > 1)
        return result

    found: list[str] = []
    waiting: list[tuple[str, Any]] = [("", json.loads(data, object_pairs_hook=collect))]
    for path, value in waiting:
        if isinstance(value, list):
            waiting += [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, _Repeating):
            below = f"{path}." if path else ""
            found += [f"{below}{name}" for name in value.repeated]
            waiting += [(f"{below}{name}", item) for name, item in value.items()]
    return found
