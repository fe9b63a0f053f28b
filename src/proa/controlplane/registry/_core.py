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
    """An update that leaves out the addresses keeps them; what a service's new type has not goes."""
    after, before = new["spec"], old["spec"]
    _drop_what_the_type_had(after, before)
    if "ExternalName" in {after.get("type"), before.get("type")}:
        return
    for field in _ADDRESSES:
        if field in before:
            after.setdefault(field, before[field])
    if after.get("clusterIPs") == before.get("clusterIPs") and after.get("clusterIP") != before.get(
        "clusterIP"
    ):
        after["clusterIPs"] = [after["clusterIP"]]
    if _has_node_ports(after):
        given = {port.get("name"): port.get("nodePort") for port in before.get("ports", ())}
        for port in after.get("ports", ()):
            if given.get(port.get("name")):
                port.setdefault("nodePort", given[port.get("name")])


_ADDRESSES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort")


def _has_node_ports(spec: Document) -> bool:
    return spec.get("type") in {"NodePort", "LoadBalancer"}


def _drop_what_the_type_had(after: Document, before: Document) -> None:
    """Fields that the old type has and the new one has not are dropped, unless they are changed, too."""
    gone: list[str] = []
    if after.get("type") == "ExternalName" != before.get("type"):
        gone += _ADDRESSES
    if before.get("type") == "LoadBalancer" != after.get("type"):
        gone += _BALANCED
    if _has_node_ports(before) and not _has_node_ports(after):
        gone.append("externalTrafficPolicy")
        ports = {port.get("nodePort") for port in before.get("ports", ())}
        for port in after.get("ports", ()):
            if port.get("nodePort") in ports:
                port.pop("nodePort", None)
    for field in gone:
        if after.get(field) == before.get(field):
            after.pop(field, None)
