"""Logs as the API server fetches them from the kubelet, and who else may."""

import asyncio
import json
import ssl
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from proa.kube import Api, Config, decode
from proa.kube.errors import BadRequestError
from proa.kube.models.authentication_v1 import TokenRequest, TokenRequestSpec
from proa.kube.models.core_v1 import ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import Kubelet
from proa.kubelet._access import Access, Caller

Cluster = Any


async def test_a_follower_sees_each_line_as_it_comes_and_the_end(node: Cluster) -> None:
    await node.run("say", "one", "sleep", "300", "say", "two")
    await node.until(lambda pod: pod.status.phase in {"Running", "Succeeded"})
    lines = [line async for line in node.pods.logs("pod", follow=True)]
    assert lines == [b"one", b"two"]


async def test_a_follower_of_a_pod_that_is_deleted_comes_to_an_end(node: Cluster) -> None:
    await node.run("tick", "5")
    await node.until_phase("Running")
    async with asyncio.timeout(20), aclosing(node.pods.logs("pod", follow=True)) as lines:
        assert await anext(lines) == b"tick 0"
        await node.pods.delete("pod")
        async for _ in lines:
            pass


async def test_a_kubelet_that_leaves_lets_go_of_followers_at_once(cluster: Cluster) -> None:
    async with cluster.kubelet():
        await cluster.run("say", "one", "forever", "")
        await cluster.until_phase("Running")
        lines = cluster.pods.logs("pod", follow=True)
        assert await anext(lines) == b"one"
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3
    assert [line async for line in lines] == []


async def test_parts_of_a_log(node: Cluster) -> None:
    await node.run("count", "1000")
    await node.until_phase("Succeeded")
    assert await node.logs(tail_lines=2) == b"998\n999"
    assert len((await node.logs()).splitlines()) == 1000
    stamped = (await node.logs(tail_lines=1, timestamps=True)).split(b" ")
    assert len(stamped[0]) == 30
    assert stamped[1] == b"999"


async def test_the_log_of_the_instance_before(node: Cluster) -> None:
    await node.run("say", "x", "sleep", "50", "exit", "1", restart_policy="OnFailure")
    await node.until(lambda pod: pod.status.container_statuses[0].restart_count >= 3)
    assert await node.logs(previous=True) == b"x"
    kept = list((node.directory / "kubelet" / "pods").glob("*/main/*.log"))
    assert len(kept) <= 2


async def test_without_an_instance_before_there_is_no_log_of_it(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    with pytest.raises(BadRequestError, match="previous terminated container"):
        await node.logs(previous=True)


async def test_a_container_that_has_not_started_has_no_log_and_says_why(node: Cluster) -> None:
    await node.run("say", "x", image=str(node.registry.reference("none:1")))
    await node.until_waiting("ImagePullBackOff")
    with pytest.raises(BadRequestError, match="is waiting to start"):
        await node.logs()


async def test_a_flood_reaches_the_reader_complete(node: Cluster) -> None:
    await node.run("count", "20000")
    await node.until_phase("Succeeded")
    assert await node.logs() == b"\n".join(b"%d" % number for number in range(20000))


async def fetch(kubelet: Kubelet, path: str, config: Config | None = None, token: str = "") -> int:
    return (await ask(kubelet, path, config, token))[0]


async def ask(kubelet: Kubelet, path: str, config: Config | None = None, token: str = "") -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if config is not None:
        certificate = kubelet.settings.data_dir / "test.pem"
        certificate.write_bytes((config.client_certificate_data or b"") + (config.client_key_data or b""))
        context.load_cert_chain(certificate)
    url = f"https://127.0.0.1:{kubelet.port}{path}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=context, headers=headers) as response,
    ):
        return response.status, await response.text()


async def test_only_the_api_server_and_administrators_are_let_in(cluster: Cluster) -> None:
    admin = Config.from_kubeconfig(cluster.server.kubeconfig)
    somebody = Config.from_kubeconfig(cluster.server.kubeconfig_for("somebody", ("developers",)))
    async with cluster.kubelet() as kubelet:
        assert await fetch(kubelet, "/healthz") == 200
        for path in ("/pods", "/metrics", "/containerLogs/default/pod/main", "/none"):
            assert await fetch(kubelet, path) == 401
            assert await fetch(kubelet, path, somebody) == 403
        assert await fetch(kubelet, "/pods", admin) == 200
        assert await fetch(kubelet, "/metrics", admin) == 200
        assert await fetch(kubelet, "/containerLogs/default/none/main", admin) == 404
        assert await fetch(kubelet, "/none", admin) == 404


async def token_of_a_service_account(cluster: Cluster) -> str:
    accounts = Api(cluster.client, ServiceAccount, namespace="default")
    await accounts.create(ServiceAccount(metadata=ObjectMeta(name="metrics")))
    request = TokenRequest(spec=TokenRequestSpec(audiences=[]))
    answer = decode(await accounts.create_subresource("metrics", "token", request), TokenRequest)
    return answer.status.token or ""


async def test_a_token_says_who_asks_and_the_api_server_what_they_may(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await token_of_a_service_account(cluster)
    asked: list[tuple[str, str, str]] = []

    async def may(self: Access, caller: Caller, verb: str, subresource: str) -> bool:
        asked.append((caller.name, verb, subresource))
        return subresource == "metrics"

    async with cluster.kubelet() as kubelet:
        assert await fetch(kubelet, "/metrics/resource", token="wrong") == 401
        assert await fetch(kubelet, "/metrics/resource", token=token) == 403
        monkeypatch.setattr(Access, "_may", may)
        assert await fetch(kubelet, "/metrics/resource", token=token) == 200
        assert await fetch(kubelet, "/stats/summary", token=token) == 403
    who = "system:serviceaccount:default:metrics"
    assert asked == [(who, "get", "metrics"), (who, "get", "stats")]


async def test_what_pods_and_the_node_use_is_told(cluster: Cluster) -> None:
    admin = Config.from_kubeconfig(cluster.server.kubeconfig)
    async with cluster.kubelet() as kubelet:
        await cluster.run("eat", "32", "forever", "")
        await cluster.until_phase("Running")
        labels = 'container="main",namespace="default",pod="pod"'
        name = f"container_memory_working_set_bytes{{{labels}}}"

        async def memory() -> float:
            _, text = await ask(kubelet, "/metrics/resource", admin)
            samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            assert samples["resource_scrape_error"] == "0"
            assert float(samples["node_cpu_usage_seconds_total"]) > 0
            return float(samples.get(name, 0))

        async with asyncio.timeout(20):
            while await memory() < 32 << 20:
                pass
        _, text = await ask(kubelet, "/stats/summary", admin)
        (pod,) = json.loads(text)["pods"]
        assert (pod["podRef"]["name"], pod["containers"][0]["name"]) == ("pod", "main")
        assert pod["memory"]["workingSetBytes"] >= 32 << 20
        assert pod["ephemeral-storage"]["usedBytes"] > 0
        assert pod["process_stats"]["process_count"] == 1
        _, text = await ask(kubelet, "/configz", admin)
        assert json.loads(text)["kubeletconfig"]["nodeName"] == "node-1"
