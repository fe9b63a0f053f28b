"""Answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from proa.controlplane._errors import StatusError
from proa.controlplane._json import encode

from ._pieces import Pieces

CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
"""A Status that says that it was done, where nothing is left to show."""

FEW = 100
"""Pieces up to which a body is put together before it is sent."""
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


def json_bytes(body: bytes, status: int = 200, warnings: list[str] | None = None) -> web.Response:
    """An answer with a JSON body that is already encoded."""
    response = web.Response(body=body, status=status, headers=_JSON)
    for warning in warnings or ():
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response


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
    return json(error.to_document(), error.code, headers)
