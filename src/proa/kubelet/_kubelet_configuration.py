"""Kubernetes' own configuration file of a kubelet (`kind: KubeletConfiguration`), as settings. Pure.

What it says of things that Proa's kubelet has is taken over. What it says of Linux containers (cgroups, swap,
runtimes and the like) has no meaning here and is left out; a name that is none of its fields stays, for the
settings to complain about.
"""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from proa.app.settings import format_duration
from proa.kubelet._node_room_settings import EVICTION_HARD

KIND: Final = "KubeletConfiguration"

_RENAMED: Final[Mapping[str, str]] = {
    "address": "bind",
    "clusterDNS": "cluster_dns",
    "imageGCHighThresholdPercent": "image_gc_high_threshold_percent",
    "imageGCLowThresholdPercent": "image_gc_low_threshold_percent",
    "imageMaximumGCAge": "image_maximum_gc_age",
    "imageMinimumGCAge": "image_minimum_gc_age",
    "podCIDR": "pod_cidr",
    "serverTLSBootstrap": "server_tls_bootstrap",
}
_MEANINGLESS: Final = """
    apiVersion kind allowedUnsafeSysctls authorization cgroupDriver cgroupRoot cgroupsPerQOS
    configMapAndSecretChangeDetectionStrategy containerLogMaxWorkers
    containerLogMonitorInterval containerRuntimeEndpoint contentType cpuCFSQuota cpuCFSQuotaPeriod
    cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod
    enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
    enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery enforceNodeAllocatable
    eventBurst eventRecordQPS failCgroupV1 failSwapOn featureGates hairpinMode healthzBindAddress
    healthzPort httpCheckFrequency imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit
    kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeReservedCgroup kubeletCgroups
    localStorageCapacityIsolation logging makeIPTablesUtilChains maxOpenFiles memoryManagerPolicy
    memorySwap memoryThrottlingFactor nodeLeaseDurationSeconds nodeStatusMaxImages
    nodeStatusReportFrequency nodeStatusUpdateFrequency oomScoreAdj podLogsDir podPidsLimit podsPerCore
    protectKernelDefaults providerID qosReserved readOnlyPort registerNode registryBurst registryPullQPS
    reservedMemory reservedSystemCPUs resolvConf runOnce runtimeRequestTimeout seccompDefault
    singleProcessOOMKill staticPodURL staticPodURLHeader
    streamingConnectionIdleTimeout syncFrequency systemCgroups systemReservedCgroup tlsCipherSuites
    tlsMinVersion topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing
    userNamespaces volumePluginDir volumeStatsAggPeriod
"""


_UNSET: Final = (None, "", "0s", "0")
"""What tools write for what nobody has set."""


def translate(document: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a KubeletConfiguration into settings by their names; any other document stays as it is.

    What is not of the shape that it should have is passed on, for the settings to complain about.
    """
    if document.get("kind") != KIND:
        return dict(document)
    left_out = {*_MEANINGLESS.split(), "serializeImagePulls", "authentication"}
    found = {
        _RENAMED.get(key, key): value
        for key, value in document.items()
        if key not in left_out and value not in _UNSET
    }
    if authority := _at(document, "authentication", "x509", "clientCAFile"):
        found["client_ca_file"] = authority
    if period := _at(found.pop("crashLoopBackOff", None), "maxContainerRestartPeriod"):
        found["max_container_restart_period"] = period
    if isinstance(taints := found.pop("registerWithTaints", None) or [], list):
        found["taints"] = [_taint(one) for one in taints]
    if found.pop("mergeDefaultEvictionSettings", False):
        found["evictionHard"] = {**EVICTION_HARD, **(found.get("evictionHard") or {})}
    if turns := found.pop("shutdownGracePeriodByPodPriority", None):
        found["shutdown_grace_period_by_pod_priority"] = _turns(turns)
    if document.get("serializeImagePulls"):
        found["max_parallel_image_pulls"] = 1
    return found


def describe(settings: Any) -> dict[str, Any]:
    """Settings as a KubeletConfiguration, with Kubernetes' names where there are any.

    Nothing in it is secret: keys and tokens are files, of which it holds the names.
    """
    theirs = {own: name for name, own in _RENAMED.items()}
    known = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    found = {theirs.get(name) or _camel(name): _plain(value) for name, value in known.items()}
    return {"kind": KIND, "apiVersion": "kubelet.config.k8s.io/v1beta1", **found}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _at(document: Any, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _taint(one: Any) -> str:
    key, value, effect = (_at(one, name) or "" for name in ("key", "value", "effect"))
    return f"{key}={value}:{effect}" if key and effect else str(one)


def _turns(turns: Any) -> Any:
    try:
        return {str(one["priority"]): f"{one['shutdownGracePeriodSeconds']}s" for one in turns}
    except (KeyError, TypeError):
        return turns
