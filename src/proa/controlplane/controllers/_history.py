"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, for `kubectl rollout undo`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from proa.controlplane.controllers._adoption import by_controller
from proa.controlplane.controllers._pods import controlled_by
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError, decode, encode
from proa.kube.models import Namespaced
from proa.kube.models.apps_v1 import ControllerRevision
from proa.kube.models.core_v1 import PodTemplateSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Reflector

HASH = "controller-revision-hash"
"""The label of a pod that says which revision it was made from."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def snapshot(template: PodTemplateSpec) -> dict[str, Any]:
    """Return what a revision records: the patch that brings the template back."""
    document: dict[str, Any] = decode(encode(template), dict[str, Any])
    return {"spec": {"template": {**document, "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """Return the template that a revision recorded."""
    document = {key: value for key, value in revision.data["spec"]["template"].items() if key != "$patch"}
    return decode(encode(document), PodTemplateSpec)


def digest(template: PodTemplateSpec, collisions: int) -> str:
    """Return the hash that names a template's revision."""
    number = int.from_bytes(hashlib.sha256(encode(template) + str(collisions).encode()).digest()[:8], "big")
    text = ""
    for _ in range(10):
        number, digit = divmod(number, len(_ALPHABET))
        text += _ALPHABET[digit]
    return text


def hash_of(revision: ControllerRevision) -> str:
    """Return a revision's hash."""
    return revision.metadata.labels.get(HASH, "")


def outdated(
    revisions: Sequence[ControllerRevision], in_use: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """Return the oldest revisions beyond `limit` of those that nothing is made from."""
    idle = sorted((one for one in revisions if one.metadata.name not in in_use), key=lambda one: one.revision)
    return idle[: max(0, len(idle) - (10 if limit is None else limit))]


@dataclass(frozen=True)
class Wanted:
    """The parts of an owner that its revisions are about."""

    owner: Namespaced
    template: PodTemplateSpec
    collisions: int


class History:
    """Keeps the revisions of the owners of one kind on the server."""

    def __init__(self, client: Client, revisions: Reflector[ControllerRevision]) -> None:
        self._api = Api(client, ControllerRevision)
        self._by_controller = revisions.store.index(by_controller)

    def of(self, owner: Namespaced) -> list[ControllerRevision]:
        """Return an owner's revisions, oldest first."""
        return sorted(self._by_controller[owner.metadata.uid], key=lambda one: one.revision)

    async def current(self, wanted: Wanted) -> ControllerRevision:
        """Return the revision of the owner's template; it is made, or becomes the newest again, if need be.

        Raises:
            AlreadyExistsError: Another revision has taken the name: try with one more collision.
        """
        revisions = self.of(wanted.owner)
        data = snapshot(wanted.template)
        newest = max((one.revision for one in revisions), default=0)
        known = [one for one in revisions if one.data == data]
        if not known:
            return await self._create(wanted, data, newest + 1)
        same = known[-1]
        if same.revision == newest:
            return same
        with suppress(ConflictError):
            return await self._api.replace(msgspec.structs.replace(same, revision=newest + 1))
        return same

    async def prune(self, owner: Namespaced, in_use: Collection[str], limit: int | None) -> None:
        """Delete what is beyond the limit of the history."""
        for one in outdated(self.of(owner), in_use, limit):
            with suppress(NotFoundError, ConflictError):
                await self._api.delete(
                    one.metadata.name or "", uid=one.metadata.uid, namespace=one.metadata.namespace
                )

    async def _create(self, wanted: Wanted, data: dict[str, Any], number: int) -> ControllerRevision:
        owner, name_hash = wanted.owner, digest(wanted.template, wanted.collisions)
        revision = ControllerRevision(
            metadata=ObjectMeta(
                name=f"{owner.metadata.name}-{name_hash}",
                namespace=owner.metadata.namespace,
                labels={**wanted.template.metadata.labels, HASH: name_hash},
                annotations={
                    key: value
                    for key, value in owner.metadata.annotations.items()
                    if key != "kubectl.kubernetes.io/last-applied-configuration"
                },
                owner_references=[controlled_by(owner)],
            ),
            data=data,
            revision=number,
        )
        try:
            return await self._api.create(revision)
        except AlreadyExistsError:
            taken = await self._api.get(revision.metadata.name or "", namespace=owner.metadata.namespace)
            if taken.data == data and by_controller(taken) == (owner.metadata.uid,):
                return taken
            raise
