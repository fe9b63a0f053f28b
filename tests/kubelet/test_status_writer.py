"""What the API server ends up with, whoever else writes to a pod's status."""

from pathlib import Path

from proa.controlplane.testing import api_server, eventually
from proa.kube import Api, Client, Config, Strategic
from proa.kube.models.core_v1 import Container, Pod, PodCondition, PodSpec, PodStatus
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet._status_writer import StatusWriter
from proa.runtime import background


async def test_what_somebody_wrote_just_before_is_put_right_though_no_event_tells_of_it(
    tmp_path: Path,
) -> None:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
    ):
        pods = Api(client, Pod, namespace="default")
        spec = PodSpec(containers=[Container(name="c", image="i")])
        observed = await pods.create(Pod(metadata=ObjectMeta(name="pod"), spec=spec))
        wrong = {"status": {"phase": "Failed", "podIP": "1.2.3.4"}}
        await pods.patch_status("pod", Strategic(wrong))
        writer = StatusWriter(pods, observed)
        ready = PodCondition(type="Ready", status="True")
        async with background(writer.run(), "write statuses"):
            writer.report(PodStatus(phase=observed.status.phase, conditions=[ready]))
            await eventually(
                lambda: pods.get("pod"),
                lambda pod: pod.status.phase == "Pending" and pod.status.pod_ip is None,
            )
