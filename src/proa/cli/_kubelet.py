"""`proa kubelet`: a node for any Kubernetes API server."""

import sys
from collections.abc import Sequence

from proa.app import App
from proa.cli._process import serve
from proa.kubelet import Kubelet, KubeletSettings, join


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa kubelet", KubeletSettings, arguments, _kubelet)


async def _kubelet(app: App, chosen: KubeletSettings) -> None:
    """Be a node that runs WebAssembly pods until SIGTERM or Ctrl-C; its pods outlive it."""
    config = await join(chosen)
    seconds = chosen.shutdown_grace_period.total_seconds()
    timeout = app.shutdown_timeout + seconds
    kubelet = await app.start("kubelet", Kubelet(chosen, config), stop_timeout=timeout)
    sys.stdout.write(f"Node {kubelet.settings.name} is registered at {config.server}\n")
    sys.stdout.flush()
    await app.run_until_stopped()
