"""Columns of everything that is not a workload: the cluster, its network, storage, configuration and
security.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, UNKNOWN, Column, age, computed, duration, few, joined, value

_ROLE = "node-role.kubernetes.io/"


def _node_status(node: Document) -> str:
    conditions = {one["type"]: one.get("status") for one in node.get("status", {}).get("conditions") or []}
    ready = {"True": "Ready", None: "Unknown"}.get(conditions.get("Ready"), "NotReady")
    return f"{ready},SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else ready


def _node_roles(node: Document) -> str:
    labels = node["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE) and key != _ROLE}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    return joined(sorted(roles))


def _address(kind: str) -> Column:
    def cell(node: Document) -> str:
        addresses = node.get("status", {}).get("addresses") or []
        return next((one["address"] for one in addresses if one["type"] == kind), NONE)

    return computed("Internal-IP" if kind == "InternalIP" else "External-IP", cell, wide=True)


def _ports(service: Document) -> str:
    return joined(
        f"{port['port']}:{port['nodePort']}/{port['protocol']}"
        if port.get("nodePort")
        else f"{port['port']}/{port['protocol']}"
        for port in service["spec"].get("ports") or []
    )


def _external(service: Document) -> str:
    spec = service["spec"]
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    own = spec.get("externalIPs") or []
    given = [one.get("ip") or one.get("hostname", "") for one in ingress] + own
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName"))
        case "LoadBalancer":
            return ",".join(given) or "<pending>"
    return ",".join(own) or NONE


def _pairs(path: str, name: str, *, wide: bool = True) -> Column:
    def cell(document: Document) -> str:
        found = document
        for part in path.split("."):
            found = (found or {}).get(part) or {}
        return joined(f"{key}={item}" for key, item in sorted(found.items()))

    return computed(name, cell, wide=wide)


def _first_seen(event: Document, now: datetime) -> str:
    at = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    return age(at, now) if at else UNKNOWN


def _last_seen(event: Document, now: datetime) -> str:
    at = (event.get("series") or {}).get("lastObservedTime")
    if event.get("series") is None:
        at = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp")
        return age(at, now) if at else _first_seen(event, now)
    return age(at, now) if at else UNKNOWN


def _times(event: Document) -> int:
    if event.get("series") is not None:
        return int(event["series"].get("count", 0))
    return event.get("count") or event.get("deprecatedCount") or 1


def _event_source(event: Document) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    reporter = event.get("reportingComponent") or event.get("reportingController") or ""
    parts = (source.get("component") or reporter, source.get("host") or event.get("reportingInstance") or "")
    return ", ".join(parts) if parts[1] else parts[0]


def _event_object(event: Document) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    kind, name = about.get("kind", "").lower(), about.get("name")
    return f"{kind}/{name}" if name else str(kind)


def _size(*paths: str, name: str = "Data") -> Column:
    return computed(name, lambda document: sum(len(document.get(path) or {}) for path in paths))


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _access(modes: list[str]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _claim_of(volume: Document) -> str:
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace', '')}/{claim['name']}" if claim else ""


def _endpoints(endpoints: Document) -> str:
    found = [
        f"{address['ip']}:{port['port']}" if port else str(address["ip"])
        for subset in endpoints.get("subsets") or []
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    return few(found, 3) or ("" if endpoints.get("subsets") else NONE)


def _role(binding: Document) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _subjects(kind: str, name: str) -> Column:
    def cell(binding: Document) -> str:
        return ", ".join(
            f"{one.get('namespace', '')}/{one['name']}" if kind == "ServiceAccount" else one["name"]
            for one in binding.get("subjects") or []
            if one["kind"] == kind
        )

    return computed(name, cell, wide=True)


_BINDING = (
    NAME,
    computed("Role", _role),
    AGE,
    _subjects("User", "Users"),
    _subjects("Group", "Groups"),
    _subjects("ServiceAccount", "ServiceAccounts"),
)


def _csr_condition(request: Document) -> str:
    status = request.get("status", {})
    types = [one["type"] for one in status.get("conditions") or []]
    said = [next((one for one in ("Denied", "Approved") if one in types), "Pending")]
    said += ["Failed"] if "Failed" in types else []
    return ",".join([*said, *(["Issued"] if status.get("certificate") else [])])


def _event_columns(message: str, about: str) -> tuple[Column, ...]:
    return (
        Column("Last Seen", _last_seen),
        value("Type", "type"),
        value("Reason", "reason"),
        computed("Object", _event_object),
        value("Subobject", f"{about}.fieldPath", wide=True),
        computed("Source", _event_source, wide=True),
        computed("Message", lambda event: event.get(message, "").strip()),
        Column("First Seen", _first_seen, wide=True),
        computed("Count", _times, wide=True),
        Column("Name", NAME.cell, wide=True),
    )


def _phase(document: Document) -> str:
    if "deletionTimestamp" in document["metadata"]:
        return "Terminating"
    return str((document.get("status") or {}).get("phase", ""))


def _class_of(document: Document) -> str:
    annotations = document["metadata"].get("annotations") or {}
    older = annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(older if older is not None else document["spec"].get("storageClassName", ""))


def _bound(show: Callable[[Document], str]) -> Callable[[Document], str]:
    """What is said of a claim once it has a volume."""
    return lambda claim: show(claim.get("status") or {}) if claim["spec"].get("volumeName") else ""


def _hosts(ingress: Document) -> str:
    rules = ingress["spec"].get("rules") or []
    found = [rule["host"] for rule in rules[:3] if rule.get("host")]
    more = f" + {len(rules) - 3} more..." if len(found) == 3 < len(rules) else ""
    return (",".join(found) or "*") + more


def _parameters(ingress_class: Document) -> str:
    reference = ingress_class["spec"].get("parameters")
    if not reference:
        return NONE
    group = f".{reference['apiGroup']}" if reference.get("apiGroup") is not None else ""
    return f"{reference.get('kind', '')}{group}/{reference.get('name', '')}"


def _class_name(storage_class: Document) -> str:
    annotations = storage_class["metadata"].get("annotations") or {}
    marks = (
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    )
    default = any(annotations.get(mark) == "true" for mark in marks)
    return str(storage_class["metadata"]["name"]) + " (default)" * default


def _given(status: Document) -> list[str]:
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    return [one.get("ip") or one.get("hostname", "") for one in ingress]


def _budget(name: str, field: str) -> Column:
    return computed(name, lambda one: str(one["spec"].get(field, "N/A")))


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Namespace"): (NAME, value("Status", "status.phase"), AGE),
    ("", "Node"): (
        NAME,
        computed("Status", _node_status),
        computed("Roles", _node_roles),
        AGE,
        value("Version", "status.nodeInfo.kubeletVersion"),
        _address("InternalIP"),
        _address("ExternalIP"),
        value("OS-Image", "status.nodeInfo.osImage", UNKNOWN, wide=True),
        value("Kernel-Version", "status.nodeInfo.kernelVersion", UNKNOWN, wide=True),
        value("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", UNKNOWN, wide=True),
    ),
    ("", "Service"): (
        NAME,
        value("Type", "spec.type"),
        computed("Cluster-IP", lambda one: next(iter(one["spec"].get("clusterIPs") or ()), NONE)),
        computed("External-IP", _external),
        computed("Port(s)", _ports),
        AGE,
        _pairs("spec.selector", "Selector"),
    ),
    ("", "Endpoints"): (NAME, computed("Endpoints", _endpoints), AGE),
    ("", "ConfigMap"): (NAME, _size("data", "binaryData"), AGE),
    ("", "Secret"): (NAME, value("Type", "type"), _size("data"), AGE),
    ("", "ServiceAccount"): (NAME, _size("secrets", name="Secrets"), AGE),
    ("", "Event"): _event_columns("message", "involvedObject"),
    ("events.k8s.io", "Event"): _event_columns("note", "regarding"),
    ("", "PersistentVolume"): (
        NAME,
        value("Capacity", "spec.capacity.storage", "0"),
        computed("Access Modes", lambda volume: _access(volume["spec"].get("accessModes") or [])),
        value("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        computed("Status", _phase),
        computed("Claim", _claim_of),
        computed("StorageClass", _class_of),
        value("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        value("Reason", "status.reason"),
        AGE,
        value("VolumeMode", "spec.volumeMode", "<unset>", wide=True),
    ),
    ("", "PersistentVolumeClaim"): (
        NAME,
        computed("Status", _phase),
        value("Volume", "spec.volumeName"),
        computed("Capacity", _bound(lambda status: (status.get("capacity") or {}).get("storage", "0"))),
        computed("Access Modes", _bound(lambda status: _access(status.get("accessModes") or []))),
        computed("StorageClass", _class_of),
        value("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        AGE,
        value("VolumeMode", "spec.volumeMode", "<unset>", wide=True),
    ),
    ("coordination.k8s.io", "Lease"): (NAME, value("Holder", "spec.holderIdentity"), AGE),
    ("discovery.k8s.io", "EndpointSlice"): (
        NAME,
        value("AddressType", "addressType"),
        computed(
            "Ports",
            lambda one: (
                few([str(port.get("port") or port.get("name") or "*") for port in one.get("ports") or []], 3)
                or "<unset>"
            ),
        ),
        computed(
            "Endpoints",
            lambda one: (
                few([a for end in one.get("endpoints") or [] for a in end["addresses"]], 3) or "<unset>"
            ),
        ),
        AGE,
    ),
    ("networking.k8s.io", "Ingress"): (
        NAME,
        value("Class", "spec.ingressClassName", NONE),
        computed("Hosts", _hosts),
        computed("Address", lambda one: ",".join(_given(one.get("status") or {}))),
        computed("Ports", lambda one: "80, 443" if one["spec"].get("tls") else "80"),
        AGE,
    ),
    ("networking.k8s.io", "IngressClass"): (
        NAME,
        value("Controller", "spec.controller"),
        computed("Parameters", _parameters),
        AGE,
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        NAME,
        computed("Pod-Selector", lambda one: to_text(one["spec"].get("podSelector")) or NONE),
        AGE,
    ),
    ("storage.k8s.io", "StorageClass"): (
        computed("Name", _class_name),
        value("Provisioner", "provisioner"),
        value("ReclaimPolicy", "reclaimPolicy", "Delete"),
        value("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        computed("AllowVolumeExpansion", lambda one: bool(one.get("allowVolumeExpansion"))),
        AGE,
    ),
    ("scheduling.k8s.io", "PriorityClass"): (
        NAME,
        value("Value", "value", 0, kind="integer"),
        computed("Global-Default", lambda one: bool(one.get("globalDefault")), kind="boolean"),
        AGE,
        value("PreemptionPolicy", "preemptionPolicy"),
    ),
    ("node.k8s.io", "RuntimeClass"): (NAME, value("Handler", "handler"), AGE),
    ("policy", "PodDisruptionBudget"): (
        NAME,
        _budget("Min Available", "minAvailable"),
        _budget("Max Unavailable", "maxUnavailable"),
        value("Allowed Disruptions", "status.disruptionsAllowed", 0, kind="integer"),
        AGE,
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        NAME,
        AGE,
        value("SignerName", "spec.signerName", NONE),
        value("Requestor", "spec.username"),
        computed(
            "RequestedDuration",
            lambda one: (
                duration(one["spec"]["expirationSeconds"]) if one["spec"].get("expirationSeconds") else NONE
            ),
        ),
        computed("Condition", _csr_condition),
    ),
}
