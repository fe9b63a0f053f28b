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


def prepare_claim(claim: Document) -> None:
    """A claim is born pending; what it is filled from is said in the older field and in the newer one."""
    prepare_pending(claim)
    _settle_sources(claim["spec"], in_use=False)


def prepare_claim_update(new: Document, old: Document) -> None:
    """As for a new claim; what was filled from something else once may go on saying so."""
    _settle_sources(old["spec"], in_use=True)
    _settle_sources(new["spec"], in_use=bool({"dataSource", "dataSourceRef"} & old["spec"].keys()))


def _settle_sources(spec: Document, *, in_use: bool) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if (
        not in_use
        and source is not None
        and (source.get("kind"), source.get("apiGroup") or "") not in _CLAIM_SOURCES
    ):
        source = spec.pop("dataSource") and None
    if reference is not None and reference.get("namespace"):
        if not in_use:
            del spec["dataSourceRef"]  # other namespaces' sources are an alpha feature
    elif source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None:
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


_CLAIM_SOURCES = frozenset({("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io")})
"""What the older field may name: it is dropped if it names anything else."""


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
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass")


def _has_node_ports(spec: Document) -> bool:
    return spec.get("type") in {"NodePort", "LoadBalancer"}


def _is_checked(spec: Document) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_what_the_type_had(after: Document, before: Document) -> None:
    """Fields that the old type has and the new one has not are dropped, unless they are changed, too."""
    gone: list[str] = []
    if after.get("type") == "ExternalName" != before.get("type"):
        gone += _ADDRESSES
    if before.get("type") == "LoadBalancer" != after.get("type"):
        gone += _BALANCED
    if _is_checked(before) and not _is_checked(after):
        gone.append("healthCheckNodePort")
    if _has_node_ports(before) and not _has_node_ports(after):
        gone.append("externalTrafficPolicy")
        ports = {port.get("nodePort") for port in before.get("ports", ())}
        for port in after.get("ports", ()):
            if port.get("nodePort") in ports:
                port.pop("nodePort", None)
    for field in gone:
        if after.get(field) == before.get(field):
            after.pop(field, None)
