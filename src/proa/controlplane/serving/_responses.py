"""Answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from proa.controlplane._errors import StatusError
from proa.controlplane._json import encode

from ._pieces import Pieces

CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
"""A Status that says that it was done, where nothing is left to show."""
MOST_WARNINGS = 4096
"""Characters of all the warnings of an answer."""
FEW = 100
"""Pieces up to which a body is put together before it is sent."""
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


def json_bytes(body: bytes, status: int = 200, warnings: list[str] | None = None) -> web.Response:
    """An answer with a JSON body that is already encoded."""
    response = web.Response(body=body, status=status, headers=_JSON)
    if warnings:
        warn(response, warnings)
    return response


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Adds warnings to an answer, each once; together they stay within what a client reads of headers."""
    left = MOST_WARNINGS
    for warning in dict.fromkeys(warnings):
        plain = "".join(character if character.isprintable() else " " for character in warning[:left])
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        if plain:
            response.headers.add("Warning", f'299 - "{escaped}"')
        left -= len(plain)


def json_pieces(pieces: Sequence[bytes]) -> web.Response:
    """An answer with a JSON body that is encoded in pieces, perhaps very many."""
    if len(pieces) <= FEW:
        return json_bytes(b"".join(pieces))
    return web.Response(body=Pieces(pieces), headers=_JSON)


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(body=encode(value), status=status, headers={**_JSON, **(headers or {})})


def text(body: str, status: int = 200) -> web.Response:
    """An answer in plain text."""
    return web.Response(text=body, status=status, headers={"X-Content-Type-Options": "nosniff"})


def refusal(error: StatusError) -> web.Response:
    """A refusal as a Status object."""
    headers = {"WWW-Authenticate": 'Bearer realm="proa"'} if error.code == 401 else {}
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        headers["Retry-After"] = str(retry)
    response = json(error.to_document(), error.code, headers)
    warn(response, error.warnings)
    return response
