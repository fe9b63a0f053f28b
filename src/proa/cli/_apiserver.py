"""`proa apiserver`: the embedded API server alone."""

import sys
from collections.abc import Sequence

from proa.app import App
from proa.cli._process import serve
from proa.controlplane import ApiServer, ApiServerSettings


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa apiserver", ApiServerSettings, arguments, _apiserver)


async def _apiserver(app: App, chosen: ApiServerSettings) -> None:
    """Serve the Kubernetes API, without scheduler and controllers, until SIGTERM or Ctrl-C."""
    server = await app.start("API server", ApiServer(chosen, lean=True))
    sys.stdout.write(
        f"The API server listens on {server.url}\nexport KUBECONFIG={server.kubeconfig.resolve()}\n"
    )
    sys.stdout.flush()
    await app.run_until_stopped()
