"""What a worker writes down: failures and handlers' standard error, and a line for each request."""

import contextlib
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proa.app._log_writer import Writer
from proa.wagi.observers import Logger
from proa.wagi.protocol import Request

__all__ = ["Journal", "stderr_path"]

_CLEAN: Final = str.maketrans({'"': "'", "\\": "/"} | {chr(code): "?" for code in (*range(32), 127)})


def stderr_path(log_dir: Path, route: str) -> Path:
    """Where WAGI keeps the standard error of a route's handler."""
    return log_dir / hashlib.sha256(route.encode()).hexdigest() / "module.stderr"


class Journal(Logger):
    """An observer that writes files, too.

    Args:
        log_dir: Where standard error is kept by route; None only logs it.
        access_log: File for a line a request, in the combined log format with the route and the seconds
            added; None writes none.
    """

    def __init__(self, log_dir: Path | None, access_log: Path | None) -> None:
        self._log_dir = log_dir
        self._files: dict[str, int] = {}
        self._stack = contextlib.ExitStack()
        self._access: Writer | None = None
        self.follows_answers = access_log is not None
        if access_log:
            stream = self._stack.enter_context(access_log.open("a", encoding="utf-8"))
            self._access = Writer(stream, lambda count: f"# {count} lines lost: the disk is too slow\n")
            self._stack.callback(self._access.close)

    def close(self) -> None:
        """Write what is left and close all files."""
        self._stack.close()

    def answered(self, request: Request, route: str, status: int, sent: int, seconds: float) -> None:
        """Write the line of a request."""
        if self._access:
            self._access.write(_access_line(request, route, status, sent, seconds))

    def printed(self, route: str, request_id: str, text: bytes) -> None:
        """Log it, and append it to the route's file."""
        super().printed(route, request_id, text)
        if self._log_dir:
            with contextlib.suppress(OSError):  # A full disk is no reason not to serve.
                os.write(self._file(route), text)

    def _file(self, route: str) -> int:
        if route not in self._files:
            assert self._log_dir
            path = stderr_path(self._log_dir, route)
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._files[route] = os.open(path, flags, 0o600)
            self._stack.callback(os.close, self._files[route])
        return self._files[route]


def _access_line(request: Request, route: str, status: int, sent: int, seconds: float) -> str:
    headers = {name.lower(): value for name, value in request.headers if name.lower() in _SHOWN}
    referer, agent = (headers.get(name, b"-").decode("latin-1").translate(_CLEAN) for name in _SHOWN)
    target = f"{request.path}?{request.query}" if request.query else request.path
    at = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S %z")
    line = f"{request.method} {target} {request.version}".translate(_CLEAN)
    answer = f'{status} {sent} "{referer}" "{agent}" {route or "-"} {seconds:.6f}'
    return f'{request.remote} - - [{at}] "{line}" {answer}\n'


_SHOWN: Final = (b"referer", b"user-agent")
