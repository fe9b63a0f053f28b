"""`proa scheduler`: the scheduler alone, for any Kubernetes API server."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proa.app import App
from proa.app.settings import setting
from proa.cli._process import serve
from proa.controlplane import Scheduler
from proa.kube import Client, Config


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """Settings of `proa scheduler`."""

    kubeconfig: Path | None = setting(
        None, help="kubeconfig of the cluster; by default $KUBECONFIG or in-cluster"
    )
    scheduler_name: str = setting("default-scheduler", help="the schedulerName of the pods to schedule")


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa scheduler", SchedulerSettings, arguments, _scheduler)


async def _scheduler(app: App, chosen: SchedulerSettings) -> None:
    """Assign pods to nodes until SIGTERM or Ctrl-C."""
    config = Config.from_env() if chosen.kubeconfig is None else Config.from_kubeconfig(chosen.kubeconfig)
    client = await app.start("client", Client(config))
    await app.start("scheduler", Scheduler(client, chosen.scheduler_name))
    sys.stdout.write(f"Scheduling the pods of {chosen.scheduler_name} at {config.server}\n")
    sys.stdout.flush()
    await app.run_until_stopped()
