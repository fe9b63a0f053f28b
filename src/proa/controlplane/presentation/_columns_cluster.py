"""Columns of the cluster itself: nodes and namespaces, configuration, security, devices."""

from __future__ import annotations

from proa.controlplane._json import Document

from ._columns import AGE, NAME, NONE, UNKNOWN, Column, computed, duration, joined, value

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


def _size(*paths: str) -> Column:
    return computed("Data", lambda document: sum(len(document.get(path) or {}) for path in paths))


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
    status = request.get("status") or {}
    types = {one["type"] for one in status.get("conditions") or []}
    judged = next((one for one in ("Denied", "Approved") if one in types), "Pending")
    failed, issued = "Failed" in types, bool(status.get("certificate"))
    return ",".join([judged, *(["Failed"] if failed else []), *(["Issued"] if issued else [])])


def _requested(request: Document) -> str:
    seconds = request["spec"].get("expirationSeconds")
    return NONE if seconds is None else duration(seconds)


def _claim_state(claim: Document) -> str:
    status, deleted = claim.get("status") or {}, "deletionTimestamp" in claim["metadata"]
    states = ["deleted"] if deleted else []
    if not status.get("allocation"):
        return ",".join(states or ["pending"])
    return ",".join([*states, "allocated", *(["reserved"] if status.get("reservedFor") else [])])


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
    ("", "ConfigMap"): (NAME, _size("data", "binaryData"), AGE),
    ("", "Secret"): (NAME, value("Type", "type"), _size("data"), AGE),
    ("", "ServiceAccount"): (NAME, computed("Secrets", lambda one: len(one.get("secrets") or ())), AGE),
    ("coordination.k8s.io", "Lease"): (NAME, value("Holder", "spec.holderIdentity"), AGE),
    ("coordination.k8s.io", "LeaseCandidate"): (
        NAME,
        value("LeaseName", "spec.leaseName"),
        value("BinaryVersion", "spec.binaryVersion"),
        value("EmulationVersion", "spec.emulationVersion"),
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
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        NAME,
        AGE,
        value("SignerName", "spec.signerName"),
        value("Requestor", "spec.username"),
        computed("RequestedDuration", _requested),
        computed("Condition", _csr_condition),
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): (NAME, value("SignerName", "spec.signerName", NONE)),
    ("resource.k8s.io", "DeviceClass"): (NAME, AGE),
    ("resource.k8s.io", "ResourceClaim"): (NAME, computed("State", _claim_state), AGE),
    ("resource.k8s.io", "ResourceClaimTemplate"): (NAME, AGE),
    ("resource.k8s.io", "ResourceSlice"): (
        NAME,
        value("Node", "spec.nodeName"),
        value("Driver", "spec.driver"),
        value("Pool", "spec.pool.name"),
        AGE,
    ),
}
