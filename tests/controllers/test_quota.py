"""What ResourceQuotas say is used, kept by a controller for servers that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proa.app.testing import virtual_time
from proa.controlplane import ApiServer
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._quota import QuotaController
from proa.controlplane.testing import eventually
from proa.kube import Api, Client, Config, Merge
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    ConfigMap,
    Container,
    PersistentVolumeClaim,
    Pod,
    PodSpec,
    ResourceQuota,
    ResourceQuotaSpec,
    ResourceRequirements,
    Service,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Reflector
from proa.runtime.testing import MemoryServer


def quota(**hard: str) -> ResourceQuota:
    amounts = {name.replace("_", "."): Quantity(amount) for name, amount in hard.items()}
    return ResourceQuota(
        metadata=ObjectMeta(name="q", namespace="default"), spec=ResourceQuotaSpec(hard=amounts)
    )


def pod(name: str, cpu: str) -> Pod:
    ask = ResourceRequirements(requests={"cpu": Quantity(cpu)})
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(containers=[Container(name="main", resources=ask)]),
    )


@virtual_time
async def test_pods_count_until_they_end_or_go() -> None:
    server = MemoryServer()
    async with (
        server.client() as client,
        Reflector(Api(client, ResourceQuota)) as quotas,
        Reflector(Api(client, Pod)) as pods,
        Reflector(Api(client, PersistentVolumeClaim)) as claims,
        Reflector(Api(client, Service)) as services,
        QuotaController(client, quotas, pods, claims, services, Kinds(client)).controller,
    ):
        quotas_api = Api(client, ResourceQuota, namespace="default")
        pods_api = Api(client, Pod, namespace="default")
        await quotas_api.create(quota(pods="4", requests_cpu="2"))
        for name in ("a", "b", "c"):
            await pods_api.create(pod(name, "500m"))

        async def used() -> tuple[str, str]:
            status = (await quotas_api.get("q")).status
            return str(status.used.get("pods")), str(status.used.get("requests.cpu"))

        assert await eventually(used, lambda one: one[0] == "3") == ("3", "1500m")
        await pods_api.patch_status("a", Merge({"status": {"phase": "Succeeded"}}))
        assert await eventually(used, lambda one: one[0] == "2") == ("2", "1")
        await pods_api.delete("b", grace_period=0)
        assert await eventually(used, lambda one: one[0] == "1") == ("1", "500m")


@pytest.fixture
async def controllers(server: ApiServer) -> AsyncIterator[Client]:
    own = server.kubeconfig_for("system:kube-controller-manager")
    async with Client(Config.from_kubeconfig(own)) as client:
        yield client


async def test_any_kind_can_be_counted_and_what_is_wrong_is_put_right(
    server: ApiServer, controllers: Client
) -> None:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        quotas = Api(client, ResourceQuota, namespace="default")
        hard = {"count/configmaps": "9", "count/deployments.apps": "9", "count/nonsense.example.com": "9"}
        await quotas.create(quota(**hard))
        await Api(client, ConfigMap, namespace="default").create(ConfigMap(metadata=ObjectMeta(name="one")))
        await eventually(lambda: quotas.get("q"), lambda one: "count/configmaps" in one.status.used)
        await quotas.patch_status("q", Merge({"status": {"used": {"count/configmaps": "7"}}}))
        async with ControllerManager(controllers, quotas=True):
            found = await eventually(
                lambda: quotas.get("q"), lambda one: one.status.used["count/configmaps"] < Quantity("7")
            )
    used = {name: int(amount) for name, amount in found.status.used.items()}
    there = used.pop("count/configmaps")  # the CA's may have been written meanwhile
    assert there in {1, 2}
    assert used == {"count/deployments.apps": 0, "count/nonsense.example.com": 0}
