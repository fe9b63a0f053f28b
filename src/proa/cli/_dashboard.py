"""`proa dashboard`: the page of any cluster, for whoever has a kubeconfig."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proa.app import App
from proa.app.settings import setting
from proa.cli._cluster import cluster_config
from proa.cli._process import serve
from proa.dashboard import Dashboard, DashboardSettings


@dataclass(frozen=True, kw_only=True)
class Settings(DashboardSettings):
    """Settings of `proa dashboard`."""

    port: int = setting(0, help="port of the page; 0 picks a free one")
    kubeconfig: Path | None = setting(None, help="the cluster (default: as kubectl, or .proa/kubeconfig)")
    context: str | None = setting(None, help="the context in the kubeconfig (default: the current one)")


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa dashboard", Settings, arguments, _dashboard)


async def _dashboard(app: App, chosen: Settings) -> None:
    """Serve the page of a cluster on loopback until SIGTERM or Ctrl-C, for you and whoever has a token."""
    config = await asyncio.to_thread(cluster_config, chosen.kubeconfig, chosen.context)
    page = await app.start("page", Dashboard(chosen, config))
    sys.stdout.write(f"{page.login_url()}\n")
    sys.stdout.flush()
    await app.run_until_stopped()
