"""Decoding in `proa.kube`, beside json.loads and lightkube's types in the same process."""

import gc
import json
import time
from collections.abc import Callable
from importlib.metadata import version

import msgspec
from lightkube.models.core_v1 import PodList as PeerPodList
from lightkube.resources.core_v1 import Pod as PeerPod

from bench._table import show
from proa.kube import decode
from proa.kube.core.watching import EventDecoder
from proa.kube.models.core_v1 import Pod, PodList

PODS = 5_000
ROUNDS = 3


class _PeerEvent(msgspec.Struct):
    type: str
    object: PeerPod


def main() -> None:
    """Measure and print."""
    pods = [_pod(number) for number in range(PODS)]
    body = json.dumps({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}).encode()
    lines = [json.dumps({"type": "MODIFIED", "object": pod}).encode() for pod in pods]
    peer = f"lightkube {version('lightkube')}"
    lists: dict[str, Callable[[], object]] = {
        "json.loads": lambda: json.loads(body),
        peer: lambda: msgspec.json.decode(body, type=PeerPodList),
        "proa.kube": lambda: decode(body, PodList),
    }
    event, peer_event = EventDecoder(Pod), msgspec.json.Decoder(_PeerEvent)
    watches: dict[str, Callable[[], object]] = {
        "json.loads": lambda: {number: json.loads(line) for number, line in enumerate(lines)},
        peer: lambda: {number: peer_event.decode(line) for number, line in enumerate(lines)},
        "proa.kube": lambda: {number: event.event(line) for number, line in enumerate(lines)},
    }
    list_seconds = {name: _seconds(call) for name, call in lists.items()}
    watch_seconds = {name: _seconds(call) for name, call in watches.items()}
    show(
        f"Decoding {PODS:,} pods of {len(body) / PODS / 1e3:.1f} KB with Python's default garbage collection",
        ("", "list, CPU s", "beside json.loads", "watch events/s", "beside json.loads"),
        (
            (
                name,
                f"{list_seconds[name]:.3f}",
                f"{list_seconds[name] / list_seconds['json.loads']:.2f}",
                PODS / watch_seconds[name],
                f"{watch_seconds['json.loads'] / watch_seconds[name]:.1f}",
            )
            for name in lists
        ),
    )


def _seconds(call: Callable[[], object]) -> float:
    """CPU seconds of the best of a few rounds, with what came out still held."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        held = call()
        best = min(best, time.process_time() - began)
        del held
    return best


def _pod(number: int) -> dict[str, object]:
    """A pod as a Deployment makes it: 6.7 KB, a third of it managed fields."""
    name = f"service-5d4f8c7b9-{number:05}"
    environment = [{"name": f"SETTING_{index}", "value": f"value-{index}"} for index in range(12)]
    mount = {"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    container = {
        "name": "main",
        "image": "registry.example/team/service:1.2.3",
        "env": environment,
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": resources,
        "volumeMounts": [mount],
        "livenessProbe": {"httpGet": {"path": "/livez", "port": 8080}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 5},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    time_ = "2026-11-01T10:00:00Z"
    condition = {"status": "True", "lastProbeTime": None, "lastTransitionTime": time_}
    state = {"running": {"startedAt": time_}}
    digest = "sha256:" + "0123456789abcdef" * 4
    status = {"ready": True, "restartCount": 0, "started": True, "state": state, "lastState": {}}
    fields: dict[str, object] = {f"f:field{index}": {".": {}, f"f:inner{index}": {}} for index in range(45)}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "service-5d4f8c7b9",
        "uid": f"uid-{number}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "production",
            "uid": f"0b8f3c1e-0000-4000-8000-{number:012}",
            "resourceVersion": str(100_000 + number),
            "creationTimestamp": time_,
            "labels": {"app": "service", "pod-template-hash": "5d4f8c7b9"},
            "annotations": {"team": "payments", "checksum/config": digest},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            "managedFields": [
                {
                    "manager": manager,
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": time_,
                    "fieldsV1": fields,
                }
                for manager in ("kube-controller-manager", "kubelet")
            ],
        },
        "spec": {
            "containers": [container, {**container, "name": "proxy"}],
            "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": []}}],
            "nodeName": f"node-{number % 100}",
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.0.{number // 250}.{number % 250}",
            "startTime": time_,
            "conditions": [
                {"type": kind, **condition}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {"name": name, "image": "service:1.2.3", "imageID": digest, "containerID": digest, **status}
                for name in ("main", "proxy")
            ],
        },
    }
