"""The error document of the distribution specification, and what a registry refuses with it."""

from aiohttp import web
from msgspec import json

__all__ = ("ApiError", "error_response")


class ApiError(Exception):
    """An answer of 4xx or 5xx: a code of the specification, for programs, and a message, for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def error_response(error: ApiError) -> web.Response:
    """Return `error` as the specification writes it."""
    document = {"errors": [{"code": error.code, "message": error.message, "detail": None}]}
    return web.Response(
        status=error.status,
        body=json.encode(document),
        content_type="application/json",
        headers=error.headers,
    )
