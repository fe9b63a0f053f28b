"""What kubectl says about the controllers' work, verb by verb."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Node, NodeCondition, NodeStatus
from proa.kube.models.meta_v1 import ObjectMeta

Kubectl = Callable[..., Awaitable[str]]

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "hello:1"}]
"""


@pytest.fixture
async def web(client: Client, kubectl: Kubectl) -> AsyncIterator[None]:
    """Two nodes, a scheduler, kubelets that are made up, and a Deployment of two pods, rolled out."""
    nodes = Api(client, Node)
    room = {"cpu": Quantity("4"), "memory": Quantity("4Gi"), "pods": Quantity("20")}
    for name in ("node-1", "node-2"):
        node = await nodes.create(Node(metadata=ObjectMeta(name=name)))
        node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
        await nodes.replace_status(node)
    async with Scheduler(client), fake_kubelet(client):
        await kubectl("apply", "-f", "-", stdin=MANIFEST)
        status = await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        assert 'deployment "web" successfully rolled out' in status
        yield


async def rolled_out(kubectl: Kubectl) -> None:
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")


async def images(kubectl: Kubectl) -> set[str]:
    jsonpath = "jsonpath={.items[*].spec.containers[0].image}"
    running = await kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", jsonpath)
    return set(running.split())


async def test_rollout_history_and_undo(kubectl: Kubectl, web: None) -> None:
    row = (await kubectl("get", "deployment", "web", "--no-headers")).split()
    assert row[:4] == ["web", "2/2", "2", "2"]
    cause = "kubernetes.io/change-cause"
    await kubectl("annotate", "deployment/web", f"{cause}=first")
    await eventually(lambda: history(kubectl), lambda rows: rows == ["1 first"])
    await kubectl("set", "image", "deployment/web", "main=hello:2")
    await kubectl("annotate", "deployment/web", f"{cause}=second", "--overwrite")
    await rolled_out(kubectl)
    await eventually(lambda: history(kubectl), lambda rows: rows == ["1 first", "2 second"])
    undone = await kubectl("rollout", "undo", "deployment/web")
    assert undone.endswith("deployment.apps/web rolled back\n")
    await rolled_out(kubectl)
    assert await eventually(lambda: images(kubectl), lambda found: len(found) == 1) == {"hello:1"}
    await eventually(lambda: history(kubectl), lambda rows: rows == ["2 second", "3 first"])


async def history(kubectl: Kubectl) -> list[str]:
    told = (await kubectl("rollout", "history", "deployment/web")).splitlines()[2:]
    return [" ".join(line.split()) for line in told if line]


async def test_rollout_restart_pause_and_resume(kubectl: Kubectl, web: None) -> None:
    before = await kubectl("get", "pods", "-o", "name")
    assert await kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    await rolled_out(kubectl)
    after = await kubectl("get", "pods", "-o", "name")
    assert set(before.split()).isdisjoint(after.split())
    assert await kubectl("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    await kubectl("set", "image", "deployment/web", "main=hello:3")
    assert await images(kubectl) == {"hello:1"}
    assert await kubectl("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    await rolled_out(kubectl)
    assert await eventually(lambda: images(kubectl), lambda found: len(found) == 1) == {"hello:3"}


async def test_scale_describe_and_wait(kubectl: Kubectl, web: None) -> None:
    assert await kubectl("scale", "deployment/web", "--replicas=4") == "deployment.apps/web scaled\n"
    waited = await kubectl("wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/web")
    assert waited == "deployment.apps/web condition met\n"
    described = await kubectl("describe", "deployment", "web")
    assert "4 desired | 4 updated | 4 total | 4 available | 0 unavailable" in described
    assert "Scaled up replica set" in described
    available = await kubectl("wait", "--for=condition=available", "deployment/web")
    assert available == "deployment.apps/web condition met\n"


async def test_cordon_drain_and_uncordon(client: Client, kubectl: Kubectl, web: None) -> None:
    assert await kubectl("cordon", "node-1") == "node/node-1 cordoned\n"
    assert "SchedulingDisabled" in await kubectl("get", "node", "node-1")
    await kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=1")
    drained = await kubectl("drain", "node-1", "--timeout=30s")
    assert drained.splitlines()[-1] == "node/node-1 drained"

    async def where() -> list[str]:
        ready = "jsonpath={.items[*].spec.nodeName}"
        return (await kubectl("get", "pods", "-o", ready)).split()

    await eventually(where, lambda nodes: nodes == ["node-2", "node-2"])
    assert await kubectl("uncordon", "node-1") == "node/node-1 uncordoned\n"


async def test_expose(kubectl: Kubectl, web: None) -> None:
    assert await kubectl("expose", "deployment/web", "--port=80") == "service/web exposed\n"

    async def endpoints() -> str:
        return await kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "name")

    assert (await eventually(endpoints, bool)).startswith("endpointslice.discovery.k8s.io/web-")
    assert "Selector:                 app=web" in await kubectl("describe", "service", "web")


async def test_create_job_and_cronjob(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client, exit_code=lambda _: 0):
        assert await kubectl("create", "job", "once", "--image=hello:1") == "job.batch/once created\n"
        waited = await kubectl("wait", "--for=condition=complete", "job/once", "--timeout=20s")
        assert waited == "job.batch/once condition met\n"
        assert (await kubectl("get", "job", "once", "--no-headers")).split()[:3] == [
            "once",
            "Complete",
            "1/1",
        ]
        created = await kubectl("create", "cronjob", "often", "--image=hello:1", "--schedule=0 0 1 1 *")
        assert created == "cronjob.batch/often created\n"
        await kubectl("create", "job", "now", "--from=cronjob/often")
        await kubectl("wait", "--for=condition=complete", "job/now", "--timeout=20s")
        row = (await kubectl("get", "cronjob", "often", "--no-headers")).split()
        assert row[0] == "often"
        assert row[-4:-2] == ["False", "0"]


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
async def test_delete_with_each_cascade(kubectl: Kubectl, web: None, cascade: str) -> None:
    said = await kubectl("delete", "deployment", "web", f"--cascade={cascade}", "--timeout=30s")
    assert said == 'deployment.apps "web" deleted from default namespace\n'

    async def left() -> list[str]:
        found = await kubectl("get", "replicasets,pods", "-o", "jsonpath={.items[*].kind}")
        return found.split()

    if cascade == "orphan":
        assert await left() == ["ReplicaSet", "Pod", "Pod"]
        owners = "jsonpath={.items[*].metadata.ownerReferences[*].kind}"
        assert (
            await eventually(lambda: kubectl("get", "replicasets", "-o", owners), lambda said: not said) == ""
        )
    elif cascade == "foreground":
        assert await left() == []
    else:
        assert await eventually(left, lambda found: not found) == []
