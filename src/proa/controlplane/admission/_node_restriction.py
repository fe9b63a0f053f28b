"""A node changes itself and its own pods, and nothing else.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from __future__ import annotations

from collections.abc import Iterable

from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.security import node_of, request_at_hand
from proa.controlplane.security._nodes import references

from ._refusal import refused

MIRROR = "kubernetes.io/config.mirror"
_OWN_LABELS = frozenset(
    {
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
_OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")


def restrict_node(review: Review) -> None:
    """Refuses what a node does to others. Does not concern other users."""
    node = node_of(request_at_hand.get().user)
    if node is None:
        return
    check = _CHECKS.get(review.resource.storage)
    if check is not None:
        check(node, review)


def _check_pod(node: str, review: Review) -> None:
    if review.operation == "CREATE":
        _check_mirror_pod(node, review)
        return
    assert review.old is not None
    if review.old["spec"].get("nodeName") != node:
        raise refused(review, f"node {node!r} can only change pods with spec.nodeName set to itself")
    if review.new is not None:
        if not review.subresource:
            raise refused(review, f"node {node!r} can only update the status of pods")
        if review.new["metadata"].get("labels") != review.old["metadata"].get("labels"):
            raise refused(review, f"node {node!r} cannot update labels through pod status")


def _check_mirror_pod(node: str, review: Review) -> None:
    pod = review.document
    if MIRROR not in pod["metadata"].get("annotations", {}):
        raise refused(
            review, f"pod does not have {MIRROR!r} annotation, node {node!r} can only create mirror pods"
        )
    if pod["spec"].get("nodeName") != node:
        raise refused(review, f"node {node!r} can only create pods with spec.nodeName set to itself")
    owners = pod["metadata"].get("ownerReferences", [])
    if [(one.get("kind"), one.get("name")) for one in owners] not in ([], [("Node", node)]):
        raise refused(review, f"node {node!r} can only create pods that it owns itself")
    if pod["spec"].get("serviceAccountName"):
        raise refused(review, f"node {node!r} can not create pods that reference a service account")
    referred = {resource for resource, _, _ in references(pod)} - {"pods", "serviceaccounts"}
    if referred:
        raise refused(
            review, f"node {node!r} can not create pods that reference {', '.join(sorted(referred))}"
        )


def _check_node(node: str, review: Review) -> None:
    if review.name != node:
        raise refused(review, f"node {node!r} is not allowed to modify node {review.name!r}")
    if review.new is None:
        return
    new, old = review.new, review.old or {"metadata": {}, "spec": {}}
    if review.old is not None and new["spec"].get("taints") != old["spec"].get("taints"):
        raise refused(review, f"node {node!r} is not allowed to modify taints")
    if new["metadata"].get("ownerReferences") != old["metadata"].get("ownerReferences"):
        raise refused(review, f"node {node!r} is not allowed to set owner references")
    labels, before = new["metadata"].get("labels", {}), old["metadata"].get("labels", {})
    changed = {key for key in {*labels, *before} if labels.get(key) != before.get(key)}
    barred = sorted(key for key in changed if not _may_set(key))
    if barred:
        raise refused(review, f"is not allowed to modify labels: {', '.join(barred)}")


def _may_set(label: str) -> bool:
    domain = label.rpartition("/")[0]
    if label in _OWN_LABELS or _within(domain, _OWN_DOMAINS):
        return True
    return not _within(domain, _RESERVED_DOMAINS)


def _within(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


def _check_name(node: str, review: Review) -> None:
    if review.name != node:
        raise refused(review, f"node {node!r} can only access the object of its own name")


def _check_lease(node: str, review: Review) -> None:
    if review.namespace != "kube-node-lease":
        raise refused(review, f"node {node!r} can only access leases in the kube-node-lease namespace")
    _check_name(node, review)


def _check_claim(node: str, review: Review) -> None:
    if review.subresource != "status" or review.new is None or review.old is None:
        raise refused(review, f"node {node!r} can only update the status of claims")
    if _without_growth(review.new) != _without_growth(review.old):
        raise refused(review, f"node {node!r} may only update the capacity and conditions of claims")


def _without_growth(claim: Document) -> Document:
    grown = {"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"}
    status = {key: value for key, value in claim.get("status", {}).items() if key not in grown}
    metadata = {key: value for key, value in claim["metadata"].items() if key != "managedFields"}
    return {**claim, "metadata": metadata, "status": status}


_CHECKS = {
    "pods": _check_pod,
    "nodes": _check_node,
    "leases.coordination.k8s.io": _check_lease,
    "csinodes.storage.k8s.io": _check_name,
    "persistentvolumeclaims": _check_claim,
}
