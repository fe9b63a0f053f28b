"""The audit log: who asked for what, and what came of it. One JSON line a request, in Kubernetes' form at
the level `Metadata`.

Nothing of any body is written, and no credentials: what a command line or a token held stays out.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import asyncio
import queue
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlencode

from aiohttp import web

from proa.app import logs
from proa.controlplane._errors import ControlPlaneError
from proa.controlplane._json import Document, encode
from proa.controlplane.security import Attributes, audit_notes, request_at_hand

QUEUED = 10_000
_HIDDEN = frozenset({"command", "token", "access_token"})


class AuditLog:
    """Appends to a file, which it moves to `NAME.1` (over what is there) when it has reached its size.

    So the two never take more than twice that size and a line. Lines are written by a thread: a slow disk
    never holds up a request; what it cannot keep up with is left out, and that is said in the log. Use as
    an async context manager: leaving it writes what has queued.

    Raises (on entering):
        ControlPlaneError: The file cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self._lost = 0
        self._log = logs.get_logger(__name__)

    async def __aenter__(self) -> Self:
        try:
            file = await asyncio.to_thread(_open, self._path)
        except OSError as error:
            raise ControlPlaneError(f"cannot write the audit log {self._path}: {error}") from error
        self._thread = threading.Thread(target=self._write, args=(file,), name="audit log", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._lines.put(None)
        self._thread.join()

    def record(self, request: web.BaseRequest, received: datetime, code: int) -> None:
        """Queues a line about a request that has been answered; what it wanted is the request at hand."""
        event = _event(request_at_hand.get(), request, received, code)
        try:
            self._lines.put_nowait(encode(event) + b"\n")
        except queue.Full:
            self._lost += 1

    def _write(self, file: IO[bytes]) -> None:
        try:
            while (line := self._lines.get()) is not None:
                file.write(line)
                if self._lines.empty():
                    file.flush()
                if file.tell() >= self._max_bytes:
                    file.close()
                    self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                    file = _open(self._path)
                if self._lost:
                    lost, self._lost = self._lost, 0
                    self._log.warning("the audit log is incomplete: the disk is too slow", lines_lost=lost)
        except OSError as error:
            self._log.error("the audit log has ended", path=str(self._path), error=str(error))
            while self._lines.get() is not None:
                pass
        finally:
            file.close()


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return path.open("ab")


def _event(wanted: Attributes, request: web.BaseRequest, received: datetime, code: int) -> Document:
    who = wanted.impersonated_by or wanted.user
    event: Document = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": str(uuid.uuid4()),
        "stage": "ResponseComplete",
        "requestURI": _address(request.path, request.query),
        "verb": wanted.verb,
        "user": who.to_document(),
        "sourceIPs": [request.remote or ""],
        "userAgent": request.headers.get("User-Agent", ""),
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": _moment(received),
        "stageTimestamp": _moment(datetime.now(UTC)),
    }
    if wanted.impersonated_by is not None:
        event["impersonatedUser"] = wanted.user.to_document()
    if notes := audit_notes.get():
        event["annotations"] = notes
    if wanted.resource:
        about = {
            "resource": wanted.resource,
            "namespace": wanted.namespace,
            "name": wanted.name,
            "apiGroup": wanted.group,
            "subresource": wanted.subresource,
        }
        event["objectRef"] = {key: value for key, value in about.items() if value}
    return event


def _address(path: str, query: Mapping[str, str]) -> str:
    if not query:
        return path
    shown = [(key, "..." if key.lower() in _HIDDEN else value) for key, value in query.items()]
    return f"{path}?{urlencode(shown)}"


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
