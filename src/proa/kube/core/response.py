"""Answers, and what they mean when they are errors."""

from __future__ import annotations

import http
import re
from collections.abc import Mapping
from dataclasses import dataclass

from proa.kube.codec import decode
from proa.kube.core.request import Request
from proa.kube.errors import ApiError, DecodeError, api_error
from proa.kube.models.meta_v1 import Status

EXCERPT = 200
_WARNING = re.compile(r'\b299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def warnings(self) -> list[str]:
        """Return the texts of the `Warning` headers that API servers send (RFC 7234, code 299)."""
        found = _WARNING.findall(self.headers.get("warning", ""))
        return [re.sub(r"\\(.)", r"\1", text) for text in found]


def failure(request: Request, response: Response) -> ApiError | None:
    """Return the error that an answer stands for, if it is one.

    A redirection counts as one: API servers send none. An answer from something else than an API server, such
    as a proxy, becomes the error of its code with an excerpt of its text.
    """
    if response.status < http.HTTPStatus.MULTIPLE_CHOICES:
        return None
    status = _status(response.body) or _made_up(request, response)
    status.code = status.code or response.status
    retry_after = response.headers.get("retry-after", "")
    return api_error(status, int(retry_after) if retry_after.isdecimal() else None)


def _status(body: bytes) -> Status | None:
    try:
        status = decode(body, Status)
    except DecodeError:
        return None
    return status if status.kind == "Status" and status.status == "Failure" else None


def _made_up(request: Request, response: Response) -> Status:
    text = " ".join(response.body[: EXCERPT * 4].decode(errors="replace").split())[:EXCERPT]
    phrase = http.HTTPStatus(response.status).phrase if response.status in set(http.HTTPStatus) else "error"
    message = f"{request.method} {request.path}: {response.status} {phrase}" + (f": {text}" if text else "")
    return Status(status="Failure", code=response.status, message=message)
