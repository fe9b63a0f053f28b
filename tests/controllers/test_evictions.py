"""Draining, budgets and tainted nodes with real kubectl."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client
from proa.kube.models import Quantity
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import Container, Node, NodeCondition, NodeStatus, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.kube.models.policy_v1 import PodDisruptionBudget

Kubectl = Callable[..., Awaitable[str]]
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}


FLEET = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Fleet, plural: fleets}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources:
      scale: {specReplicasPath: .spec.ships, statusReplicasPath: .status.ships}
"""


async def add_node(client: Client, name: str) -> None:
    await Api(client, Lease, namespace="kube-node-lease").create(Lease(metadata=ObjectMeta(name=name)))
    node = await Api(client, Node).create(Node(metadata=ObjectMeta(name=name)))
    room = {"cpu": Quantity("4"), "memory": Quantity("4Gi"), "pods": Quantity("110")}
    node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
    await Api(client, Node).replace_status(node)


async def nodes_of_pods(client: Client) -> list[str]:
    pods = Api(client, Pod, namespace="default")
    return [pod.spec.node_name or "" async for pod in pods.list() if pod.metadata.deletion_timestamp is None]


async def test_a_drain_goes_as_fast_as_the_budget_allows(client: Client, kubectl: Kubectl) -> None:
    async with Scheduler(client), fake_kubelet(client):
        await add_node(client, "one")
        await kubectl("apply", "-f", "-", stdin=json.dumps(WEB))
        await kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--max-unavailable=1")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        budgets = Api(client, PodDisruptionBudget, namespace="default")
        await eventually(lambda: budgets.get("web"), lambda seen: seen.status.disruptions_allowed == 1)
        row = (await kubectl("get", "pdb", "web", "--no-headers")).split()
        assert row[:4] == ["web", "N/A", "1", "1"]
        await add_node(client, "two")
        await kubectl("drain", "one", "--timeout=40s")
        await eventually(lambda: nodes_of_pods(client), lambda seen: seen == ["two"] * 2)
        await kubectl("uncordon", "one")


async def test_a_taint_sends_off_who_does_not_tolerate_it(client: Client, kubectl: Kubectl) -> None:
    async with Scheduler(client), fake_kubelet(client):
        for name in ("one", "two"):
            await add_node(client, name)
        await kubectl("apply", "-f", "-", stdin=json.dumps(WEB))
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        await kubectl("taint", "node", "one", "fire=yes:NoExecute")
        await eventually(lambda: nodes_of_pods(client), lambda seen: seen == ["two"] * 2)


async def test_a_budget_counts_what_any_kind_with_a_scale_is_to_keep(
    client: Client, kubectl: Kubectl
) -> None:
    await kubectl("apply", "-f", "-", stdin=FLEET)
    await kubectl("wait", "--for=condition=established", "crd/fleets.example.com", "--timeout=20s")
    fleet = {
        "apiVersion": "example.com/v1",
        "kind": "Fleet",
        "metadata": {"name": "armada", "namespace": "default"},
    }
    await kubectl("apply", "-f", "-", stdin=json.dumps({**fleet, "spec": {"ships": 4}}))
    uid = await kubectl("get", "fleet", "armada", "-o", "jsonpath={.metadata.uid}")
    owner = OwnerReference(
        api_version="example.com/v1", kind="Fleet", name="armada", uid=uid, controller=True
    )
    pods = Api(client, Pod, namespace="default")
    async with fake_kubelet(client):
        for number in range(4):
            metadata = ObjectMeta(name=f"ship-{number}", labels={"app": "ship"}, owner_references=[owner])
            spec = PodSpec(containers=[Container(name="main", image="ship:1")])
            await pods.create(Pod(metadata=metadata, spec=spec))
        await kubectl(
            "create", "poddisruptionbudget", "ships", "--selector=app=ship", "--max-unavailable=50%"
        )
        budgets = Api(client, PodDisruptionBudget, namespace="default")
        found = await eventually(
            lambda: budgets.get("ships"), lambda one: one.status.disruptions_allowed == 2
        )
    assert (found.status.expected_pods, found.status.desired_healthy) == (4, 2)
