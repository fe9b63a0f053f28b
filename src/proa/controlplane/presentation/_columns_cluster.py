"""Columns of everything that is not a workload: the cluster, its network, storage, configuration and
security.
"""

from __future__ import annotations

from datetime import datetime

from proa.controlplane._json import Document

from ._autoscaler_targets import targets
from ._columns import AGE, NAME, NONE, UNKNOWN, Column, age, computed, joined, value

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
    given = [one.get("ip") or one.get("hostname", "") for one in ingress] + (spec.get("externalIPs") or [])
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName"))
        case "LoadBalancer":
            return ",".join(given) or "<pending>"
    return ",".join(given) or NONE


def _pairs(path: str, name: str, *, wide: bool = True) -> Column:
    def cell(document: Document) -> str:
        found = document
        for part in path.split("."):
            found = (found or {}).get(part) or {}
        return joined(f"{key}={item}" for key, item in sorted(found.items()))

    return computed(name, cell, wide=wide)


def _last_seen(event: Document, now: datetime) -> str:
    series = event.get("series") or {}
    at = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
    )
    if not at:
        return UNKNOWN
    count = series.get("count") or event.get("count") or event.get("deprecatedCount") or 1
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    if count > 1 and first:
        return f"{age(at, now)} (x{count} over {age(first, now)})"
    return age(at, now)


def _event_object(event: Document) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _size(*paths: str) -> Column:
    return computed("Data", lambda document: sum(len(document.get(path) or {}) for path in paths))


def _access(modes: list[str]) -> str:
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    return ",".join(short.get(mode, mode) for mode in modes)


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
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return joined(found[:3]) + more


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
    said = [one for one in ("Approved", "Denied", "Failed") if one in types] or ["Pending"]
    return ",".join([*said, *(["Issued"] if status.get("certificate") else [])])


def _event_columns(message: str, source: str) -> tuple[Column, ...]:
    return (
        Column("Last Seen", _last_seen),
        value("Type", "type"),
        value("Reason", "reason"),
        computed("Object", _event_object),
        value("Subobject", "involvedObject.fieldPath", wide=True),
        computed(
            "Source",
            lambda event: (
                (event.get(source) or {}).get("component")
                or event.get("reportingController")
                or event.get("reportingComponent")
                or ""
            ),
            wide=True,
        ),
        value("Message", message),
        Column(
            "First Seen",
            lambda event, now: (
                age(seen, now) if (seen := event.get("firstTimestamp") or event.get("eventTime")) else UNKNOWN
            ),
            wide=True,
        ),
        computed(
            "Count",
            lambda event: event.get("count") or (event.get("series") or {}).get("count") or 1,
            wide=True,
        ),
        Column("Name", NAME.cell, wide=True),
    )


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
        value("Cluster-IP", "spec.clusterIP", NONE),
        computed("External-IP", _external),
        computed("Port(s)", _ports),
        AGE,
        _pairs("spec.selector", "Selector"),
    ),
    ("", "Endpoints"): (NAME, computed("Endpoints", _endpoints), AGE),
    ("", "ConfigMap"): (NAME, _size("data", "binaryData"), AGE),
    ("", "Secret"): (NAME, value("Type", "type"), _size("data"), AGE),
    ("", "ServiceAccount"): (NAME, AGE),
    ("", "Event"): _event_columns("message", "source"),
    ("events.k8s.io", "Event"): _event_columns("note", "deprecatedSource"),
    ("", "PersistentVolume"): (
        NAME,
        value("Capacity", "spec.capacity.storage"),
        computed("Access Modes", lambda volume: _access(volume["spec"].get("accessModes") or [])),
        value("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        value("Status", "status.phase"),
        computed("Claim", _claim_of),
        value("StorageClass", "spec.storageClassName"),
        value("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        value("Reason", "status.reason"),
        AGE,
        value("VolumeMode", "spec.volumeMode", "<unset>", wide=True),
    ),
    ("", "PersistentVolumeClaim"): (
        NAME,
        value("Status", "status.phase"),
        value("Volume", "spec.volumeName"),
        value("Capacity", "status.capacity.storage"),
        computed("Access Modes", lambda claim: _access(claim.get("status", {}).get("accessModes") or [])),
        value("StorageClass", "spec.storageClassName"),
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
            lambda one: joined(port.get("port", "*") for port in one.get("ports") or []).replace(
                NONE, "<unset>"
            ),
        ),
        computed(
            "Endpoints",
            lambda one: joined(a for end in one.get("endpoints") or [] for a in end["addresses"]).replace(
                NONE, "<unset>"
            ),
        ),
        AGE,
    ),
    ("networking.k8s.io", "Ingress"): (
        NAME,
        value("Class", "spec.ingressClassName", NONE),
        computed(
            "Hosts",
            lambda one: (
                ",".join(rule["host"] for rule in one["spec"].get("rules") or [] if rule.get("host")) or "*"
            ),
        ),
        computed(
            "Address",
            lambda one: ",".join(
                i.get("ip") or i.get("hostname", "")
                for i in one.get("status", {}).get("loadBalancer", {}).get("ingress") or []
            ),
        ),
        computed("Ports", lambda one: "80, 443" if one["spec"].get("tls") else "80"),
        AGE,
    ),
    ("networking.k8s.io", "IngressClass"): (
        NAME,
        value("Controller", "spec.controller"),
        value("Parameters", "spec.parameters.name", NONE),
        AGE,
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        NAME,
        _pairs("spec.podSelector.matchLabels", "Pod-Selector", wide=False),
        AGE,
    ),
    ("storage.k8s.io", "StorageClass"): (
        NAME,
        value("Provisioner", "provisioner"),
        value("ReclaimPolicy", "reclaimPolicy", "Delete"),
        value("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        computed("AllowVolumeExpansion", lambda one: "true" if one.get("allowVolumeExpansion") else "false"),
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
        value("Min Available", "spec.minAvailable", "N/A"),
        value("Max Unavailable", "spec.maxUnavailable", "N/A"),
        value("Allowed Disruptions", "status.disruptionsAllowed", 0, kind="integer"),
        AGE,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        NAME,
        computed(
            "Reference",
            lambda one: f"{one['spec']['scaleTargetRef']['kind']}/{one['spec']['scaleTargetRef']['name']}",
        ),
        computed("Targets", targets),
        value("MinPods", "spec.minReplicas", "<unset>"),
        value("MaxPods", "spec.maxReplicas", 0, kind="integer"),
        value("Replicas", "status.currentReplicas", 0, kind="integer"),
        AGE,
    ),
    ("rbac.authorization.k8s.io", "Role"): (NAME, value("Created At", "metadata.creationTimestamp")),
    ("rbac.authorization.k8s.io", "ClusterRole"): (NAME, value("Created At", "metadata.creationTimestamp")),
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        NAME,
        AGE,
        value("SignerName", "spec.signerName"),
        value("Requestor", "spec.username"),
        computed(
            "RequestedDuration",
            lambda one: (
                f"{one['spec']['expirationSeconds']}s" if one["spec"].get("expirationSeconds") else NONE
            ),
        ),
        computed("Condition", _csr_condition),
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        NAME,
        value("Created At", "metadata.creationTimestamp"),
    ),
}
