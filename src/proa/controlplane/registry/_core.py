"""How namespaces, nodes, services and volumes are prepared. Pure."""

from __future__ import annotations

from proa.controlplane._json import Document

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def prepare_namespace(namespace: Document) -> None:
    """A namespace is born active, held by the finalizer that waits for its content, and labelled with its
    name.
    """
    finalizers = namespace["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    namespace["status"] = {"phase": "Active"}
    _label_namespace(namespace)


def prepare_namespace_update(new: Document, old: Document) -> None:
    """The finalizers change by way of the finalize subresource only."""
    new["spec"] = old["spec"]
    _label_namespace(new)


def _label_namespace(namespace: Document) -> None:
    metadata = namespace["metadata"]
    metadata.setdefault("labels", {})[NAMESPACE_LABEL] = metadata.get("name", "")


def prepare_node(node: Document) -> None:
    """What a node can give out is what it has, unless it says otherwise."""
    status = node.get("status", {})
    if "capacity" in status:
        status.setdefault("allocatable", status["capacity"])


def prepare_pending(document: Document) -> None:
    """Volumes and claims are born pending."""
    document["status"] = {"phase": "Pending"}


def prepare_service(service: Document) -> None:
    """A service's one address is the first of its addresses."""
    spec = service["spec"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def prepare_service_update(new: Document, old: Document) -> None:
    """An update that leaves out the addresses keeps them."""
    if new["spec"].get("type") == "ExternalName" or old["spec"].get("type") == "ExternalName":
        return
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if field in old["spec"]:
            new["spec"].setdefault(field, old["spec"][field])
    if new["spec"].get("type") in {"NodePort", "LoadBalancer"}:
        given = {port.get("name"): port.get("nodePort") for port in old["spec"].get("ports", ())}
        for port in new["spec"].get("ports", ()):
            if given.get(port.get("name")):
                port.setdefault("nodePort", given[port.get("name")])
