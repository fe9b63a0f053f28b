"""Runtime classes of pods; the storage class of claims that name none, and what it lets them ask for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry import Review
from proa.controlplane.storage import Key, Store

from ._refusal import refused

RUNTIME = "runtimeclasses.node.k8s.io"
STORAGE = "storageclasses.storage.k8s.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class Classes:
    """Resolves the classes that new objects name, or leave to us."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve_runtime(self, review: Review) -> None:
        """What a pod's runtime class says of overhead and of the nodes that have it.

        https://kubernetes.io/docs/concepts/containers/runtime-class/

        Raises:
            StatusError: 403, there is no such class, or the pod says something else.
        """
        pod = review.new
        if review.operation != "CREATE" or pod is None:
            return
        spec = pod["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise refused(review, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
            return
        stored = self._store.latest(Key(RUNTIME, "", name))
        if stored is None:
            raise refused(review, f'pod rejected: RuntimeClass "{name}" not found')
        runtime = stored.document()
        self._take_overhead(review, spec, runtime.get("overhead", {}).get("podFixed"))
        scheduling = runtime.get("scheduling", {})
        self._take_selector(review, spec, scheduling.get("nodeSelector", {}))
        for toleration in scheduling.get("tolerations", ()):
            if toleration not in spec.setdefault("tolerations", []):
                spec["tolerations"].append(toleration)

    @staticmethod
    def _take_overhead(review: Review, spec: Document, overhead: Any) -> None:
        if spec.get("overhead") and spec["overhead"] != overhead:
            raise refused(
                review, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )
        if overhead:
            spec["overhead"] = overhead

    @staticmethod
    def _take_selector(review: Review, spec: Document, selector: Document) -> None:
        own = spec.get("nodeSelector", {})
        clashing = sorted(key for key, value in selector.items() if own.get(key, value) != value)
        if clashing:
            why = f"conflict: runtimeClass.scheduling.nodeSelector[{clashing[0]}] and the pod's own differ"
            raise refused(review, why)
        if selector:
            spec["nodeSelector"] = own | selector

    def give_storage_class(self, review: Review) -> None:
        """The newest of the classes that are marked as default, for a claim that does not say.

        https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
        """
        claim = review.new
        if review.operation != "CREATE" or claim is None or "storageClassName" in claim["spec"]:
            return
        if _BETA_CLASS in claim["metadata"].get("annotations", {}):
            return
        classes = [stored.document() for stored in self._store.scan(STORAGE)]
        defaults = [one["metadata"] for one in classes if _is_default(one)]
        if defaults:
            newest = min(defaults, key=lambda one: (_descending(one["creationTimestamp"]), one["name"]))
            claim["spec"]["storageClassName"] = newest["name"]

    def check_size(self, review: Review) -> None:
        """A claim may only ask for more where its class can give more.

        https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims

        Raises:
            StatusError: 403, it cannot.
        """
        claim, before = review.new, review.old
        if claim is None or before is None or review.subresource or _size(claim) <= _size(before):
            return
        name = claim["spec"].get("storageClassName") or claim["metadata"].get("annotations", {}).get(
            _BETA_CLASS
        )
        stored = self._store.latest(Key(STORAGE, "", name)) if name else None
        if stored is None or not stored.document().get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions "
                "the pvc must support resize"
            )
            raise refused(review, why)


def _size(claim: Document) -> Decimal:
    return quantity(claim["spec"].get("resources", {}).get("requests", {}).get("storage", "0"))


def _is_default(storage_class: Document) -> bool:
    return bool(storage_class["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true")


def _descending(text: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in text)
