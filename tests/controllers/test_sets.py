"""StatefulSets and DaemonSets as a user has them: kubectl, the API server, and a kubelet that is made up."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Node, NodeCondition, NodeStatus, PersistentVolumeClaim, Pod
from proa.kube.models.meta_v1 import ObjectMeta

Kubectl = Callable[..., Awaitable[str]]


def manifest(kind: str, **spec: Any) -> str:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "main", "image": "db:1"}]},
    }
    document = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "db"}}, "template": template, **spec},
    }
    return json.dumps(document)


async def images(client: Client) -> dict[str | None, str | None]:
    pods = Api(client, Pod, namespace="default")
    return {pod.metadata.name: pod.spec.containers[0].image async for pod in pods.list()}


async def test_a_stateful_set_is_rolled_scaled_and_rolled_back(client: Client, kubectl: Kubectl) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    wanted = manifest("StatefulSet", serviceName="db", replicas=3, volumeClaimTemplates=[claim])
    async with fake_kubelet(client):
        await kubectl("apply", "-f", "-", stdin=wanted)
        rolled = await kubectl("rollout", "status", "statefulset/db", "--timeout=20s")
        assert "partitioned roll out complete" in rolled or "rolling update complete" in rolled
        assert set(await images(client)) == {"db-0", "db-1", "db-2"}
        row = (await kubectl("get", "statefulset", "db", "--no-headers")).split()
        assert row[:2] == ["db", "3/3"]
        claims = Api(client, PersistentVolumeClaim, namespace="default")
        assert {one.metadata.name async for one in claims.list()} == {f"data-db-{n}" for n in range(3)}

        await kubectl("set", "image", "statefulset/db", "main=db:2")
        await kubectl("rollout", "status", "statefulset/db", "--timeout=20s")
        assert set((await images(client)).values()) == {"db:2"}
        history = await kubectl("rollout", "history", "statefulset/db")
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
        await kubectl("rollout", "undo", "statefulset/db")
        await kubectl("rollout", "status", "statefulset/db", "--timeout=20s")
        assert set((await images(client)).values()) == {"db:1"}

        await kubectl("scale", "statefulset/db", "--replicas=1")
        await eventually(lambda: images(client), lambda seen: set(seen) == {"db-0"})
        assert len([one async for one in claims.list()]) == 3
        await kubectl("delete", "statefulset", "db", "--cascade=foreground", "--timeout=20s")
        assert await images(client) == {}


async def add_node(client: Client, name: str) -> None:
    nodes = Api(client, Node)
    node = await nodes.create(Node(metadata=ObjectMeta(name=name)))
    room = {"cpu": Quantity("4"), "memory": Quantity("4Gi"), "pods": Quantity("110")}
    node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
    await nodes.replace_status(node)


async def test_a_daemon_set_follows_the_nodes_and_is_rolled(client: Client, kubectl: Kubectl) -> None:
    async with Scheduler(client), fake_kubelet(client):
        for name in ("one", "two"):
            await add_node(client, name)
        await kubectl("apply", "-f", "-", stdin=manifest("DaemonSet"))
        rolled = await kubectl("rollout", "status", "daemonset/db", "--timeout=20s")
        assert 'daemon set "db" successfully rolled out' in rolled
        await add_node(client, "three")
        pods = Api(client, Pod, namespace="default")

        async def nodes() -> list[str]:
            return sorted([pod.spec.node_name or "" async for pod in pods.list()])

        await eventually(nodes, lambda seen: seen == ["one", "three", "two"])
        await kubectl("set", "image", "daemonset/db", "main=db:2")
        await kubectl("rollout", "status", "daemonset/db", "--timeout=20s")
        assert set((await images(client)).values()) == {"db:2"}
        await kubectl("rollout", "undo", "daemonset/db")
        await kubectl("rollout", "status", "daemonset/db", "--timeout=20s")
        assert set((await images(client)).values()) == {"db:1"}
        await kubectl("delete", "node", "two")
        await eventually(nodes, lambda seen: seen == ["one", "three"])
        row = (await kubectl("get", "daemonset", "db", "--no-headers")).split()
        assert row[:6] == ["db", "2", "2", "2", "2", "2"]
