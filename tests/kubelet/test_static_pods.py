"""Static pods: they run by their files, and the API server sees mirrors of them."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proa.controlplane import ApiServer, ApiServerSettings
from proa.kube import Config, encode
from proa.kubelet._manifests import from_manifest
from proa.kubelet.errors import KubeletError

Cluster = Any
NAME = "web-node-1"
OFTEN = timedelta(milliseconds=100)


def write(directory: Path, cluster: Cluster, *arguments: str) -> Path:
    directory.mkdir(exist_ok=True)
    pod = cluster.pod(*arguments, name="web", restart_policy="Always")
    pod.spec.node_name = None
    (directory / "web.json").write_bytes(encode(pod))
    return directory


async def test_a_static_pod_runs_by_its_file_and_is_mirrored(cluster: Cluster, tmp_path: Path) -> None:
    directory = write(tmp_path / "manifests", cluster, "say", "hello", "forever", "")
    (directory / "broken.yaml").write_text("kind: Pod")
    (directory / "xerox.json").write_bytes((directory / "web.json").read_bytes())
    async with cluster.kubelet(static_pod_path=directory, file_check_frequency=OFTEN):
        running = await cluster.until_phase("Running", NAME)
        assert running.metadata.annotations["kubernetes.io/config.source"] == "file"
        assert running.metadata.owner_references[0].kind == "Node"
        follow = cluster.pods.logs(NAME, follow=True)
        assert await anext(follow) == b"hello"
        await follow.aclose()
        await cluster.until_event("InvalidStaticPod", "broken.yaml is no manifest of a pod", name="node-1")
        await cluster.until_event("InvalidStaticPod", "which another file does", name="node-1")
        # Its mirror may be deleted: it comes back, and nothing was restarted.
        await cluster.pods.delete(NAME, grace_period=0)
        again = await cluster.until(lambda pod: pod.metadata.uid != running.metadata.uid, NAME)
        again = await cluster.until_phase("Running", NAME)
        assert again.status.container_statuses == running.status.container_statuses
        # Another content is another pod.
        write(directory, cluster, "say", "changed", "forever", "")
        await cluster.until(
            lambda pod: pod.status.phase == "Running" and pod.spec.containers[0].args[1] == "changed", NAME
        )
        (directory / "xerox.json").unlink()
        (directory / "web.json").unlink()
        await cluster.until_gone(NAME)
        await cluster.eventually(lambda: not list((tmp_path / "kubelet" / "pods").iterdir()))


async def test_a_static_pod_needs_no_api_server(cluster: Cluster, tmp_path: Path) -> None:
    directory = write(tmp_path / "manifests", cluster, "say", "alone", "forever", "")
    async with ApiServer(ApiServerSettings(data_dir=tmp_path / "other", port=0)) as server:
        config = Config.from_kubeconfig(server.kubeconfig)
    entering = asyncio.create_task(cluster.kubelet_of(config, static_pod_path=directory).__aenter__())
    await cluster.eventually(
        lambda: any(b"alone" in log.read_bytes() for log in (tmp_path / "kubelet").rglob("0.log"))
    )
    assert not entering.done()
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)


@pytest.mark.parametrize("text", ["", "kind: Pod", "kind: Service\nmetadata: {name: x}", "{", "a: !!b c"])
def test_what_is_no_pod_is_refused(text: str) -> None:
    with pytest.raises(KubeletError, match=r"some\.yaml"):
        from_manifest(text.encode(), "some.yaml", "node-1")


WHOLE = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: a
      image: example.com/web:1
      ports: [{containerPort: 80}]
      resources: {limits: {memory: 1Mi}}
      livenessProbe: {tcpSocket: {port: 80}, periodSeconds: 5}
  volumes: [{name: scratch, emptyDir: }]
  tolerations:
"""


def test_what_a_manifest_leaves_out_is_filled_in_as_the_api_does() -> None:
    spec = from_manifest(WHOLE.encode(), "some.yaml", "node-1").spec
    (container,) = spec.containers
    assert (spec.restart_policy, spec.termination_grace_period_seconds) == ("Always", 30)
    assert (container.image_pull_policy, container.ports[0].protocol) == ("IfNotPresent", "TCP")
    assert container.resources.requests == container.resources.limits
    assert container.liveness_probe is not None
    assert (container.liveness_probe.period_seconds, container.liveness_probe.failure_threshold) == (5, 3)
    assert spec.volumes[0].empty_dir is not None


def test_all_that_is_wrong_with_a_manifest_is_told_at_once() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: Web}
spec:
  restartPolicy: Sometimes
  serviceAccountName: me
  containers:
    - {name: a, image: x, envFrom: [{secretRef: {name: keys}}], volumeMounts: [{name: none, mountPath: /x}]}
    - {name: a}
  volumes: [{name: files, configMap: {name: settings}}, {name: disk, persistentVolumeClaim: {claimName: c}}]
"""
    with pytest.raises(KubeletError) as caught:
        from_manifest(text.encode(), "some.yaml", "node-1")
    for word in (
        "'Web' is no name", "Sometimes", "2 of that name", "no image", "no volume 'none'",
        "service account me", "config map settings", "secret keys", "volume disk",
    ):  # fmt: skip
        assert word in str(caught.value)
