"""Decoding in `proa.kube`, beside json.loads and its peers' types in the same process."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench._table import show
from proa.app import garbage

PODS = 5_000
# The slower peers are measured with fewer, and their figures scaled.
FEW = 250
ROUNDS = 3
SLOW = {"kubernetes", "kubernetes_asyncio", "kr8s"}
Decode = Callable[[bytes], object]


class _Answer:
    """What kubernetes_asyncio deserialises."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def _json() -> tuple[Decode, Decode]:
    return json.loads, json.loads


def _proa() -> tuple[Decode, Decode]:
    from proa.kube import decode
    from proa.kube.core.watching import EventDecoder
    from proa.kube.models.core_v1 import Pod, PodList

    return lambda data: decode(data, PodList), EventDecoder(Pod).event


def _lightkube() -> tuple[Decode, Decode]:
    from lightkube.models.core_v1 import PodList
    from lightkube.resources.core_v1 import Pod

    event = msgspec.defstruct("Event", [("type", str), ("object", Pod)])
    return msgspec.json.Decoder(PodList).decode, msgspec.json.Decoder(event).decode


def _kubernetes() -> tuple[Decode, Decode]:
    from kubernetes.client.models import V1Pod, V1PodList

    return (
        lambda data: V1PodList.from_json(data.decode()),
        lambda data: V1Pod.from_dict(json.loads(data)["object"]),
    )


def _kubernetes_asyncio() -> tuple[Decode, Decode]:
    from kubernetes_asyncio.client import ApiClient
    from kubernetes_asyncio.client.configuration import Configuration

    # Without its pool of connections, which needs a loop.
    client: Any = ApiClient.__new__(ApiClient)
    client.configuration = Configuration()
    return (
        lambda data: client.deserialize(_Answer(data), "V1PodList"),
        lambda data: client.deserialize(_Answer(json.dumps(json.loads(data)["object"]).encode()), "V1Pod"),
    )


def _kr8s() -> tuple[Decode, Decode]:
    from kr8s.asyncio.objects import Pod

    class _Api:
        namespace = "default"

    api: Any = _Api()
    return (
        lambda data: [Pod(item, api=api) for item in json.loads(data)["items"]],
        lambda data: Pod(json.loads(data)["object"], api=api),
    )


CLIENTS = {
    "json.loads": _json,
    "proa.kube": _proa,
    "lightkube": _lightkube,
    "kubernetes": _kubernetes,
    "kubernetes_asyncio": _kubernetes_asyncio,
    "kr8s": _kr8s,
}
IMPORTS = {
    "proa.kube": "import proa.kube",
    "proa.kube with Api, Client and Pod": (
        "from proa.kube import Api, Client; from proa.kube.models.core_v1 import Pod"
    ),
    "lightkube": "from lightkube import AsyncClient; from lightkube.resources.core_v1 import Pod",
    "kubernetes": "from kubernetes.client import CoreV1Api",
    "kubernetes_asyncio": "from kubernetes_asyncio.client import CoreV1Api",
    "kr8s": "from kr8s.asyncio.objects import Pod",
}


def main() -> None:
    """Measure and print."""
    pods = [_pod(number) for number in range(PODS)]
    size = len(_body(pods)) / PODS / 1e3
    default = gc.get_threshold()
    _decoding(f"Decoding {PODS:,} pods of {size:.1f} KB with Python's default garbage collection", pods)
    garbage.tune()
    _decoding("The same with `proa.app.garbage.tune()`, as Proa's programs call", pods)
    gc.set_threshold(*default)
    show(
        "Memory held for each pod of a list",
        ("", "KB a pod"),
        ((_title(name), f"{_kilobytes(name):.1f}") for name in CLIENTS),
    )
    show("Imports", ("", "CPU ms", "MB"), ((name, *_import(code)) for name, code in IMPORTS.items()))


def _decoding(title: str, pods: list[dict[str, object]]) -> None:
    measured = {}
    for name, make in CLIENTS.items():
        some = pods[:FEW] if name in SLOW else pods
        body, lines = _body(some), _lines(some)
        decode_list, decode_event = make()

        def store(lines: list[bytes] = lines, decode: Decode = decode_event) -> object:
            return {number: decode(line) for number, line in enumerate(lines)}

        def whole(body: bytes = body, decode: Decode = decode_list) -> object:
            return decode(body)

        scale = PODS / len(some)
        measured[name] = (_seconds(whole) * scale, len(some) / _seconds(store))
    base_list, base_watch = measured["json.loads"]
    show(
        title,
        ("", "list, CPU s", "beside json.loads", "watch events/s", "beside json.loads"),
        (
            (_title(name), f"{seconds:.3f}", f"{seconds / base_list:.2f}", rate, f"{rate / base_watch:.1f}")
            for name, (seconds, rate) in measured.items()
        ),
    )


def _title(name: str) -> str:
    return name if name in {"json.loads", "proa.kube"} else f"{name} {version(name)}"


def _body(pods: list[dict[str, object]]) -> bytes:
    return msgspec.json.encode({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})


def _lines(pods: list[dict[str, object]]) -> list[bytes]:
    return [msgspec.json.encode({"type": "MODIFIED", "object": pod}) for pod in pods]


def _kilobytes(name: str) -> float:
    """Resident memory that one pod of a list takes, in a process of its own."""
    count = FEW * 4 if name in SLOW else PODS
    code = f"from bench.client import held; print(held({name!r}, {count}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def held(name: str, count: int) -> float:
    """Return the KB by which this process grows for each pod that it holds."""
    body = _body([_pod(number) for number in range(count)])
    decode, _ = CLIENTS[name]()
    decode(_body([_pod(0)]))
    gc.collect()
    before = _resident()
    objects = decode(body)
    gc.collect()
    grown = _resident() - before
    assert objects
    return grown / count / 1e3


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _import(code: str) -> tuple[str, str]:
    """CPU milliseconds and megabytes that an import takes, of a bare interpreter's; the best of a few."""
    program = (
        "import time, os; b = time.process_time(); m = int(open('/proc/self/statm').read().split()[1])\n"
        f"{code}\n"
        "print(time.process_time() - b, (int(open('/proc/self/statm').read().split()[1]) - m) * 4096)"
    )
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        seconds, size = done.stdout.split()
        found.append((float(seconds), float(size)))
    return f"{min(seconds for seconds, _ in found) * 1e3:.0f}", f"{min(size for _, size in found) / 1e6:.1f}"


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
    """A pod as a Deployment makes it: 6.7 KB, two fifths of it managed fields."""
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
    fields: dict[str, object] = {f"f:field{index}": {".": {}, f"f:inner{index}": {}} for index in range(34)}
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
