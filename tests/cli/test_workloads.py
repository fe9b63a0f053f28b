"""Workloads on a cluster as a person has it: volumes that stay, what is used, parts left out."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from proa.cli.testing import Up, proa, up
from proa.wasm.testing import compile_c

pytestmark = pytest.mark.xdist_group("cli")

DIARY = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char line[80];
    FILE *diary = fopen("/data/diary", "a");
    if (!diary) { perror("/data/diary"); return 1; }
    fputs("was here\n", diary);
    fclose(diary);
    diary = fopen("/data/diary", "r");
    while (fgets(line, sizeof line, diary)) fputs(line, stdout);
    fflush(stdout);
    for (;;) sleep(1000);
}
"""
SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: diary, namespace: default}
spec:
  replicas: 1
  serviceName: diary
  selector: {matchLabels: {app: diary}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  template:
    metadata: {labels: {app: diary}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: IMAGE
        resources: {requests: {cpu: 10m, memory: 16Mi}}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Mi}}
"""


def until(look: Callable[[], str], wanted: str, seconds: float = 30.0) -> None:
    """Look again and again until what is seen is what is wanted."""
    deadline = monotonic() + seconds
    while (seen := look()) != wanted:
        assert monotonic() < deadline, f"still {seen!r}"
        sleep(0.05)


def used(cluster: Up) -> str:
    """What `kubectl top pods` says, without the numbers; readings of before a pod began last some seconds."""
    try:
        return re.sub(r"\s+\d+", " ", cluster.kubectl("top", "pods", "--no-headers").strip())
    except AssertionError as error:
        return str(error)


def pushed(cluster: Up, guest: Path, name: str) -> str:
    image = f"{cluster.registry}/{name}"
    result = proa("push", guest, image, KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode == 0, result.stderr
    return image


def test_a_stateful_set_finds_its_volume_again_and_kubectl_top_knows_it(cluster: Up) -> None:
    image = pushed(cluster, compile_c(DIARY), "diary:1")
    cluster.kubectl("apply", "-f", "-", stdin=SET.replace("IMAGE", image))
    cluster.kubectl("rollout", "status", "statefulset/diary", "--timeout=30s")
    until(lambda: cluster.kubectl("logs", "diary-0"), "was here\n")
    first = json.loads(cluster.kubectl("get", "pvc", "data-diary-0", "-o", "json"))
    assert (first["status"]["phase"], first["spec"]["storageClassName"]) == ("Bound", "local-path")

    until(lambda: used(cluster), "diary-0 m Mi")
    assert len(cluster.kubectl("top", "nodes", "--no-headers").split()) == 5

    cluster.kubectl("delete", "pod", "diary-0")
    cluster.kubectl("wait", "--for=create", "pod/diary-0", "--timeout=30s")
    cluster.kubectl("wait", "--for=condition=ready", "pod/diary-0", "--timeout=30s")
    until(lambda: cluster.kubectl("logs", "diary-0"), "was here\nwas here\n")

    cluster.kubectl("delete", "statefulset", "diary")
    until(lambda: cluster.kubectl("get", "pvc,pv", "--no-headers", "--ignore-not-found"), "")


def test_a_template_whose_guests_crash_is_told_and_makes_no_more_pods(cluster: Up, hello: Path) -> None:
    image = pushed(cluster, hello, "crashing:1")
    # A guest that is seen running for a moment would count as available, and the rollout as done.
    never = {"tcpSocket": {"port": 1}}
    environment = [{"name": "CODE", "value": "3"}]
    containers = [{"name": "main", "image": image, "env": environment, "readinessProbe": never}]
    labels = {"app": "crashing"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 2, "progressDeadlineSeconds": 1, "selector": {"matchLabels": labels}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "crashing", "namespace": "default"},
        "spec": {**spec, "template": template},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
    reasons = "{.items[*].status.containerStatuses[*].state.waiting.reason}"
    pods = ("get", "pods", "-l", "app=crashing", "-o")
    until(lambda: cluster.kubectl(*pods, f"jsonpath={reasons}"), "CrashLoopBackOff CrashLoopBackOff")
    conditions = '{range .status.conditions[?(@.status=="False")]}{.type} {.reason}{"\\n"}{end}'
    told = ("get", "deployment", "crashing", "-o", f"jsonpath={conditions}")
    until(
        lambda: "\n".join(sorted(cluster.kubectl(*told).split("\n"))).strip(),
        "Available MinimumReplicasUnavailable\nProgressing ProgressDeadlineExceeded",
    )
    assert len(cluster.kubectl(*pods, "name").split()) == 2
    cluster.kubectl("delete", "deployment", "crashing")


@contextmanager
def running(*command: str) -> Iterator[None]:
    """Keep a `proa` command running."""
    process = subprocess.Popen([sys.executable, "-m", "proa.cli", *command], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_parts_left_out_are_left_out_and_can_run_by_themselves(tmp_path: Path, sleeper: Path) -> None:
    with up(tmp_path / "state", "--without", "scheduler,controllers") as cluster:
        image = pushed(cluster, sleeper, "sleeper:1")
        cluster.kubectl("create", "deployment", "web", f"--image={image}")
        assert cluster.kubectl("get", "storageclasses", "--ignore-not-found") == ""
        assert cluster.kubectl("get", "serviceaccounts,replicasets", "--ignore-not-found") == ""
        own = ("--kubeconfig", str(cluster.kubeconfig))
        with running("controller-manager", *own):
            cluster.kubectl("wait", "--for=create", "pod", "-l", "app=web", "--timeout=30s")
            node = ("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
            assert cluster.kubectl(*node) == ""
            profiles = ("--profiles", "default-scheduler", "--profiles", "packer=MostAllocated")
            with running("scheduler", *own, *profiles):
                cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
                leases = cluster.kubectl("get", "leases", "-n", "kube-system", "-o", "name").split()
                names = ("kube-controller-manager", "kube-scheduler")
                assert leases == [f"lease.coordination.k8s.io/{name}" for name in names]


def test_a_profile_that_is_none_is_one_line() -> None:
    result = proa("scheduler", "--profiles", "a,b=MostAllocated")
    assert result.returncode == 2
    assert "'a,b=MostAllocated' is not NAME" in result.stderr
