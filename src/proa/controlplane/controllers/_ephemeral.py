"""Claims that belong to one pod: made from the template in the pod, gone with it."""

from __future__ import annotations

from contextlib import suppress

from proa.controlplane.controllers._pods import controlled_by, is_going
from proa.kube import AlreadyExistsError, Api, Client, KubeError
from proa.kube.models.core_v1 import PersistentVolumeClaim, Pod, Volume
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector


class EphemeralVolumeController:
    """Makes the claims of pods' ephemeral volumes; one of that name which is not the pod's stays as it is."""

    def __init__(self, client: Client, pods: Reflector[Pod], recorder: Recorder) -> None:
        self._api = Api(client, PersistentVolumeClaim)
        self._pods = pods.store
        self._recorder = recorder
        self.controller = Controller(pods, self.reconcile, name="ephemeral volume", on=lambda _: None)

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Make the claims of one pod."""
        pod = self._pods.find(ref)
        if pod is None or is_going(pod):
            return Action.await_change()
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
                await self._make(pod, volume)
        return Action.await_change()

    async def _make(self, pod: Pod, volume: Volume) -> None:
        assert volume.ephemeral is not None
        assert volume.ephemeral.volume_claim_template is not None
        template = volume.ephemeral.volume_claim_template
        claim = PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=f"{pod.metadata.name}-{volume.name}",
                namespace=pod.metadata.namespace,
                labels=template.metadata.labels,
                annotations=template.metadata.annotations,
                owner_references=[controlled_by(pod)],
            ),
            spec=template.spec,
        )
        try:
            with suppress(AlreadyExistsError):
                await self._api.create(claim)
        except KubeError as error:
            message = f"ephemeral volume {volume.name}: {error}"
            self._recorder.event(pod, type="Warning", reason="FailedToCreateEphemeralVolume", message=message)
            raise
