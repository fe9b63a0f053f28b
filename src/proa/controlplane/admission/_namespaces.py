"""Objects are created in namespaces that are there and not going; some namespaces stay for ever."""

from __future__ import annotations

from proa.controlplane._errors import Qualified, StatusError, details, not_found
from proa.controlplane.registry import Review
from proa.controlplane.storage import Key, Store

from ._refusal import refused

IMMORTAL = frozenset({"default", "kube-public", "kube-system"})
_GOING = b'"deletionTimestamp"'


class NamespaceLifecycle:
    """Checks the namespaces of new objects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, review: Review) -> None:
        """Refuses a new object whose namespace is not there (404) or is being deleted (403)."""
        if review.operation != "CREATE" or not review.resource.namespaced:
            return
        stored = self._store.latest(Key("namespaces", "", review.namespace))
        if stored is None:
            raise not_found(Qualified("", "namespaces"), review.namespace)
        if _GOING in stored.tail and "deletionTimestamp" in stored.document()["metadata"]:
            raise _terminating(review)


def keep_immortal(review: Review) -> None:
    """Refuses to delete a namespace that the cluster cannot be without."""
    if review.operation == "DELETE" and review.name in IMMORTAL:
        raise refused(review, "this namespace may not be deleted")


def _terminating(review: Review) -> StatusError:
    what, name, namespace = review.resource.qualified, review.name, review.namespace
    message = (
        f'{what} "{name}" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return StatusError(403, "Forbidden", message, details(what, name, causes=[cause]))
