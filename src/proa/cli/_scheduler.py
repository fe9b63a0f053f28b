"""`proa scheduler`: the scheduler alone, for any Kubernetes API server."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proa.app import App
from proa.app.settings import setting
from proa.cli._cluster import nobody_is_warned
from proa.cli._leading import LeaderSettings, work_as_leader
from proa.cli._process import serve
from proa.controlplane import Scheduler
from proa.controlplane.scheduler import LEAST_ALLOCATED, MOST_ALLOCATED, Profile
from proa.kube import Client, Config

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings(LeaderSettings):
    """Settings of `proa scheduler`."""

    kubeconfig: Path | None = setting(
        None, help="kubeconfig of the cluster; by default $KUBECONFIG or in-cluster"
    )
    profiles: tuple[str, ...] = setting(
        ("default-scheduler",),
        help="a schedulerName whose pods to schedule; NAME=MostAllocated fills nodes one after the other",
    )

    def validate(self) -> Iterable[str]:
        """What is wrong with the settings."""
        yield from super().validate()
        for text in self.profiles:
            name, _, strategy = text.partition("=")
            if not _NAME.fullmatch(name) or (strategy or LEAST_ALLOCATED) not in {
                LEAST_ALLOCATED,
                MOST_ALLOCATED,
            }:
                yield f"profiles: {text!r} is not NAME, NAME={LEAST_ALLOCATED} or NAME={MOST_ALLOCATED}"
        if not self.profiles:
            yield "profiles: at least one is needed"


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa scheduler", SchedulerSettings, arguments, _scheduler)


async def _scheduler(app: App, chosen: SchedulerSettings) -> None:
    """Assign pods to nodes until SIGTERM or Ctrl-C, while no other such process does."""
    config = Config.from_env() if chosen.kubeconfig is None else Config.from_kubeconfig(chosen.kubeconfig)
    client = await app.start("client", Client(config, on_warning=nobody_is_warned))
    profiles = [_profile(text) for text in chosen.profiles]
    told = f"Scheduling the pods of {', '.join(profile.name for profile in profiles)} at {config.server}"
    await work_as_leader(app, client, chosen, "kube-scheduler", lambda: Scheduler(client, profiles), told)


def _profile(text: str) -> Profile:
    name, _, strategy = text.partition("=")
    return Profile(name, MOST_ALLOCATED if strategy == MOST_ALLOCATED else LEAST_ALLOCATED)
