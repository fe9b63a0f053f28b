"""An API server in the test's own process, for tests of everything that speaks to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .server import ApiServer, ApiServerSettings

__all__ = ["api_server"]


@asynccontextmanager
async def api_server(data_dir: Path, *, token_auth_file: Path | None = None) -> AsyncIterator[ApiServer]:
    """An API server on a free port of the loopback interface, ready; its `kubeconfig` is an administrator's.

    Starting takes some 100 ms. Give it a directory of the test's own (`tmp_path`).
    """
    settings = ApiServerSettings(data_dir=data_dir / "apiserver", port=0, token_auth_file=token_auth_file)
    async with ApiServer(settings) as server:
        yield server
