"""`proa controller-manager`: the controllers alone, for any Kubernetes API server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proa.app import App
from proa.app.settings import setting
from proa.cli._cluster import nobody_is_warned
from proa.cli._leading import LeaderSettings, work_as_leader
from proa.cli._process import serve
from proa.controlplane import ControllerManager
from proa.kube import Client, Config


@dataclass(frozen=True, kw_only=True)
class ControllerManagerSettings(LeaderSettings):
    """Settings of `proa controller-manager`."""

    kubeconfig: Path | None = setting(
        None, help="kubeconfig of the cluster; by default $KUBECONFIG or in-cluster"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa controller-manager", ControllerManagerSettings, arguments, _controller_manager)


async def _controller_manager(app: App, chosen: ControllerManagerSettings) -> None:
    """Run the controllers until SIGTERM or Ctrl-C, while no other such process does."""
    config = Config.from_env() if chosen.kubeconfig is None else Config.from_kubeconfig(chosen.kubeconfig)
    client = await app.start("client", Client(config, on_warning=nobody_is_warned))
    told = f"The controllers work at {config.server}"
    await work_as_leader(
        app, client, chosen, "kube-controller-manager", lambda: ControllerManager(client, quotas=True), told
    )
