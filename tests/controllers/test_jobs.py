"""Jobs and CronJobs as a user has them: kubectl, the embedded API server, and a kubelet that is made up."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client, Strategic
from proa.kube.models import now
from proa.kube.models.batch_v1 import CronJob, Job
from proa.kube.models.core_v1 import Pod

Kubectl = Callable[..., Awaitable[str]]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "workloads"
INDEX = "batch.kubernetes.io/job-completion-index"


def manifest(name: str, **spec: object) -> str:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "hello:1"}]}}
    document = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }
    return json.dumps(document)


async def pods_of(client: Client, name: str) -> list[Pod]:
    pods = Api(client, Pod, namespace="default")
    return [pod async for pod in pods.list(label_selector=f"job-name={name}")]


async def test_a_job_runs_to_its_completions_and_kubectl_says_so(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client, lambda _: 0):
        await kubectl("apply", "-f", "-", stdin=manifest("pi", completions=3, parallelism=2))
        await kubectl("wait", "--for=condition=complete", "job/pi", "--timeout=20s")
        row = (await kubectl("get", "job", "pi", "--no-headers")).split()
        assert row[:3] == ["pi", "Complete", "3/3"]
        described = await kubectl("describe", "job", "pi")
        assert "Pods Statuses:    0 Active (0 Ready) / 3 Succeeded / 0 Failed" in described
        assert "Job completed" in described
        pods = await pods_of(client, "pi")
        assert len(pods) == 3
        assert all("batch.kubernetes.io/job-tracking" not in pod.metadata.finalizers for pod in pods)
        await kubectl("delete", "job", "pi", "--timeout=20s")
        await eventually(lambda: pods_of(client, "pi"), lambda seen: not seen)


async def test_an_indexed_job_retries_the_index_that_failed(client: Client, kubectl: Kubectl) -> None:
    failed = set[str]()

    def fail_once(pod: Pod) -> int:
        first = pod.metadata.annotations[INDEX] == "1" and not failed
        failed.add("1") if first else None
        return 1 if first else 0

    rules = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1]}}]}
    async with fake_kubelet(client, fail_once):
        wanted = manifest(
            "fan", completions=3, parallelism=3, completionMode="Indexed", podFailurePolicy=rules
        )
        await kubectl("apply", "-f", "-", stdin=wanted)
        await kubectl("wait", "--for=condition=complete", "job/fan", "--timeout=20s")
        seen = await Api(client, Job, namespace="default").get("fan")
        assert (seen.status.completed_indexes, seen.status.succeeded, seen.status.failed) == ("0-2", 3, None)
        assert len(await pods_of(client, "fan")) == 4


async def test_a_job_that_fails_too_often_fails_and_says_why(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client, lambda _: 3):
        await kubectl("apply", "-f", "-", stdin=manifest("bad", backoffLimit=0, parallelism=1))
        await kubectl("wait", "--for=condition=failed", "job/bad", "--timeout=20s")
        described = await kubectl("describe", "job", "bad")
        assert "BackoffLimitExceeded" in described
        assert "Job has reached the specified backoff limit" in described


async def test_a_suspended_job_has_no_pods_until_it_is_resumed(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client):
        await kubectl("apply", "-f", "-", stdin=manifest("late", suspend=True))
        await kubectl("wait", "--for=condition=suspended", "job/late", "--timeout=20s")
        assert await pods_of(client, "late") == []
        await kubectl("patch", "job", "late", "-p", '{"spec":{"suspend":false}}')
        await eventually(lambda: pods_of(client, "late"), lambda seen: len(seen) == 1)
        await kubectl("patch", "job", "late", "-p", '{"spec":{"suspend":true}}')
        await eventually(lambda: pods_of(client, "late"), lambda seen: not seen)
        jobs = Api(client, Job, namespace="default")
        seen = await eventually(lambda: jobs.get("late"), lambda seen: not seen.status.active)
        assert seen.status.failed is None


async def test_a_finished_job_goes_when_its_time_is_over(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client, lambda _: 0):
        await kubectl("apply", "-f", "-", stdin=manifest("brief", ttlSecondsAfterFinished=0))
        jobs = Api(client, Job, namespace="default")
        await eventually(lambda: jobs.get_opt("brief"), lambda seen: seen is None)
        await eventually(lambda: pods_of(client, "brief"), lambda seen: not seen)


async def test_orphaned_pods_are_not_held_back(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client):
        await kubectl("apply", "-f", "-", stdin=manifest("left"))
        await eventually(lambda: pods_of(client, "left"), lambda seen: len(seen) == 1)
        await kubectl("delete", "job", "left", "--cascade=orphan", "--timeout=20s")
        (pod,) = await eventually(
            lambda: pods_of(client, "left"), lambda seen: not seen[0].metadata.finalizers
        )
        assert pod.metadata.owner_references == []
        await Api(client, Pod, namespace="default").delete(pod.metadata.name or "")
        await eventually(lambda: pods_of(client, "left"), lambda seen: not seen)


async def test_a_cron_job_makes_up_for_a_missed_run_and_its_jobs_go_with_it(
    client: Client, kubectl: Kubectl
) -> None:
    async with fake_kubelet(client, lambda _: 0):
        await kubectl("create", "cronjob", "tick", "--image=hello:1", "--schedule=0 * * * *")
        await kubectl("create", "job", "by-hand", "--from=cronjob/tick")
        await kubectl("wait", "--for=condition=complete", "job/by-hand", "--timeout=20s")
        ran = (now() - timedelta(hours=3)).isoformat()
        missed = f'{{"status":{{"lastScheduleTime":"{ran}"}}}}'
        await kubectl("patch", "cronjob", "tick", "--subresource=status", "--type=merge", "-p", missed)
        cron_jobs, jobs = Api(client, CronJob, namespace="default"), Api(client, Job, namespace="default")
        hour_ago = now() - timedelta(hours=1)

        def caught_up(seen: CronJob) -> bool:
            last = seen.status.last_schedule_time
            return last is not None and last > hour_ago and not seen.status.active

        await eventually(lambda: cron_jobs.get("tick"), caught_up)
        made = [job async for job in jobs.list() if job.metadata.name != "by-hand"]
        assert len(made) == 1
        row = (await kubectl("get", "cronjob", "tick", "--no-headers")).split()
        assert row[:6] == ["tick", "0", "*", "*", "*", "*"]
        await kubectl("delete", "cronjob", "tick", "--timeout=20s")

        async def left() -> set[str | None]:
            return {job.metadata.name async for job in jobs.list()}

        await eventually(left, lambda names: not names)


async def test_the_examples_run(client: Client, kubectl: Kubectl) -> None:
    async with fake_kubelet(client, lambda pod: 0 if "job-name" in pod.metadata.labels else None):
        await kubectl("apply", "-f", str(EXAMPLES))
        await kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=20s")
        await kubectl("rollout", "status", "statefulset/workers", "--timeout=20s")
        row = (await kubectl("get", "cronjob", "report", "--no-headers")).split()
        assert "Europe/Berlin" in row
        assert "files.example.test" in await kubectl("get", "ingress", "files")


async def test_kubectl_exposes_a_deployment_and_sees_its_endpoints(client: Client, kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2", "--port=8080")
    await kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    pods = Api(client, Pod, namespace="default")

    async def named() -> list[str]:
        return [pod.metadata.name or "" async for pod in pods.list(label_selector="app=web")]

    names = await eventually(named, lambda seen: len(seen) == 2)
    for number, name in enumerate(names, 1):
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
        status = {"phase": "Running", "podIP": f"127.66.9.{number}", "conditions": [ready]}
        await pods.patch_status(name, Strategic({"status": status}))

    async def shown() -> str:
        return await kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "--no-headers")

    row = await eventually(shown, lambda seen: "127.66.9.1" in seen and "127.66.9.2" in seen)
    assert "8080" in row
    described = await kubectl("describe", "service", "web")
    assert "127.66.9.1:8080" in described
    assert "127.66.9.2:8080" in described
