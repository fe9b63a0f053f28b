"""`proa registry`: the OCI registry alone."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proa.app import App
from proa.app.settings import setting
from proa.cli._process import serve
from proa.oci import Registry


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """Settings of `proa registry`."""

    data_dir: Path = setting(Path(".proa/registry"), help="where images are kept")
    bind: str = setting("127.0.0.1", help="address to listen on, over plain HTTP without authentication")
    port: int = setting(5050, help="port to listen on; 0 picks a free one")


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa registry", RegistrySettings, arguments, _registry)


async def _registry(app: App, chosen: RegistrySettings) -> None:
    """Serve the OCI distribution API until SIGTERM or Ctrl-C."""
    registry = Registry(data_dir=chosen.data_dir, host=chosen.bind, port=chosen.port)
    await app.start("registry", registry)
    sys.stdout.write(f"The registry listens on {registry.url}\n")
    sys.stdout.flush()
    await app.run_until_stopped()
