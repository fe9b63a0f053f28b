"""Who controls what: objects without a controller that match a selector are adopted, others let go."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from proa.controlplane.controllers._pods import controlled_by, controller_of
from proa.kube import Api, ConflictError, NotFoundError, Selector, Strategic
from proa.kube.models import Namespaced
from proa.kube.models.meta_v1 import LabelSelector
from proa.runtime import Index, Mapper, ObjectRef, Reflector

N = TypeVar("N", bound=Namespaced)
O = TypeVar("O", bound=Namespaced)  # noqa: E741 - the owner


@dataclass(frozen=True)
class Claims(Generic[N]):
    """What an owner has, lacks and no longer wants."""

    keep: tuple[N, ...]
    adopt: tuple[N, ...]
    release: tuple[N, ...]


def claims(owner: Namespaced, selector: LabelSelector, candidates: Iterable[N]) -> Claims[N]:
    """Sort `candidates` into those that `owner` controls, may adopt, and controls but does not match."""
    matcher = Selector.of(selector)
    keep: list[N] = []
    adopt: list[N] = []
    release: list[N] = []
    for obj in candidates:
        controller = controller_of(obj)
        matches = matcher.matches(obj.metadata.labels)
        if controller is None:
            if matches and obj.metadata.deletion_timestamp is None:
                adopt.append(obj)
        elif controller.uid == owner.metadata.uid:
            (keep if matches else release).append(obj)
    return Claims(tuple(keep), tuple(adopt), tuple(release))


def by_controller(obj: Namespaced) -> tuple[Hashable]:
    """Index an object by its controller's uid, or by its namespace if it has none."""
    controller = controller_of(obj)
    return (controller.uid if controller else ("orphan", obj.metadata.namespace),)


def candidates(owner: Namespaced, index: Index[N]) -> tuple[N, ...]:
    """Return from an index by `by_controller` what `owner` controls or could adopt."""
    return index[owner.metadata.uid] + index["orphan", owner.metadata.namespace]


def concerned(owners: Reflector[O], selector: Callable[[O], LabelSelector]) -> Mapper[N]:
    """Map an object to the owner that controls it, or to those that might adopt it."""
    kind = owners.type.resource.kind

    def refs(obj: N) -> list[ObjectRef]:
        owner, namespace = controller_of(obj), obj.metadata.namespace
        if owner is not None:
            return [ObjectRef(owner.name, namespace)] if owner.kind == kind else []
        return [
            ObjectRef.of(one)
            for one in owners.store
            if one.metadata.namespace == namespace and Selector.of(selector(one)).matches(obj.metadata.labels)
        ]

    return refs


async def claim(
    owners: Api[O],
    owner: O,
    selector: LabelSelector,
    dependents: Api[N],
    found: Iterable[N],
    *,
    finalizer: str | None = None,
) -> list[N]:
    """Adopt and release among `found` as `claims` says, and return what `owner` then controls.

    Before anything is adopted the server is asked whether the owner is still there: the cache may be behind.
    What is adopted is given the `finalizer`.
    """
    claimed = claims(owner, selector, found)
    for obj in claimed.release:
        reference = {"$patch": "delete", "uid": owner.metadata.uid}
        await _set_owner(dependents, obj, reference)
    owned = list(claimed.keep)
    if claimed.adopt and await _still_there(owners, owner):
        for obj in claimed.adopt:
            adopted = await _set_owner(dependents, obj, controlled_by(owner), finalizer)
            owned += [] if adopted is None else [adopted]
    return owned


async def _still_there(owners: Api[O], owner: O) -> bool:
    now = await owners.get_opt(owner.metadata.name or "", namespace=owner.metadata.namespace)
    return (
        now is not None and now.metadata.uid == owner.metadata.uid and now.metadata.deletion_timestamp is None
    )


async def _set_owner(dependents: Api[N], obj: N, reference: object, finalizer: str | None = None) -> N | None:
    metadata: dict[str, object] = {"uid": obj.metadata.uid, "ownerReferences": [reference]}
    if finalizer is not None:
        metadata["finalizers"] = [finalizer]
    try:
        return await dependents.patch(
            obj.metadata.name or "", Strategic({"metadata": metadata}), namespace=obj.metadata.namespace
        )
    except (NotFoundError, ConflictError):
        return None
