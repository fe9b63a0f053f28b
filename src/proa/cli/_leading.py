"""Of several processes of one kind, one works: leader election as Kubernetes' own components have it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from proa.app import App
from proa.app.settings import setting
from proa.kube import Client
from proa.runtime import LeaderElection, Terms


@dataclass(frozen=True, kw_only=True)
class LeaderSettings:
    """Settings of a process that may run more than once, named as Kubernetes names them."""

    leader_elect: bool = setting(True, help="work only while holding a Lease, so that one process works")
    leader_elect_lease_duration: timedelta = setting(
        timedelta(seconds=15), help="how long after a renewal nobody else takes the Lease"
    )
    leader_elect_renew_deadline: timedelta = setting(
        timedelta(seconds=10), help="how long to go on without having renewed it, before ending"
    )
    leader_elect_retry_period: timedelta = setting(
        timedelta(seconds=2), help="how often to renew it, or to look whether it is free"
    )
    leader_elect_resource_name: str = setting("", help="the Lease's name; by default Kubernetes' own")
    leader_elect_resource_namespace: str = setting("kube-system", help="the Lease's namespace")

    def validate(self) -> Iterable[str]:
        """What is wrong with the settings."""
        try:
            self.terms()
        except ValueError:
            yield (
                "leader_elect: --leader-elect-retry-period must be above 0 and below "
                "--leader-elect-renew-deadline, which must be below --leader-elect-lease-duration"
            )

    def terms(self) -> Terms:
        """Return the times of the election.

        Raises:
            ValueError: They are not in order.
        """
        return Terms(
            duration=self.leader_elect_lease_duration.total_seconds(),
            give_up=self.leader_elect_renew_deadline.total_seconds(),
            retry=self.leader_elect_retry_period.total_seconds(),
        )


async def work_as_leader(
    app: App,
    client: Client,
    chosen: LeaderSettings,
    component: str,
    part: Callable[[], AbstractAsyncContextManager[Any]],
    told: str,
) -> None:
    """Keep a part running until the process is told to stop, but only while it leads.

    Args:
        app: The process.
        client: Where the Lease is.
        chosen: Whether and how to elect.
        component: What Kubernetes calls it, and its Lease.
        part: Makes the part.
        told: What to print once it runs.

    Raises:
        LeadershipLostError: The Lease could not be renewed: the part has ended, and so should the process.
    """

    async def work() -> None:
        async with part():
            _say(told)
            await app.run_until_stopped()

    if not chosen.leader_elect:
        await _until_stopped(app, work())
        return
    lease, namespace = chosen.leader_elect_resource_name or component, chosen.leader_elect_resource_namespace
    election = LeaderElection(client, lease, namespace=namespace, terms=chosen.terms())
    _say(f"Waiting for the Lease {namespace}/{lease} as {election.identity}")
    await _until_stopped(app, election.run(work))


async def _until_stopped(app: App, work: Coroutine[Any, Any, None]) -> None:
    """Await work; a process that is told to stop does not wait for what is to happen elsewhere."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(app.stopping.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
