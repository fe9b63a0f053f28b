"""Kubernetes' own configuration file of a kubelet (`kind: KubeletConfiguration`), as settings. Pure.

What it says of things that Proa's kubelet has is taken over. What it says of Linux containers (cgroups, swap,
runtimes and the like) has no meaning here and is left out; a name that is none of its fields stays, for the
settings to complain about.
"""

from collections.abc import Mapping
from typing import Any, Final

KIND: Final = "KubeletConfiguration"

_RENAMED: Final[Mapping[str, str]] = {
    "address": "bind",
    "clusterDNS": "cluster_dns",
    "imageGCHighThresholdPercent": "image_gc_high_threshold_percent",
    "imageGCLowThresholdPercent": "image_gc_low_threshold_percent",
    "imageMinimumGCAge": "image_minimum_gc_age",
    "podCIDR": "pod_cidr",
    "serverTLSBootstrap": "server_tls_bootstrap",
}
_MEANINGLESS: Final = """
    apiVersion kind allowedUnsafeSysctls authorization cgroupDriver cgroupRoot cgroupsPerQOS
    configMapAndSecretChangeDetectionStrategy containerLogMaxWorkers
    containerLogMonitorInterval containerRuntimeEndpoint contentType cpuCFSQuota cpuCFSQuotaPeriod
    cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod crashLoopBackOff
    enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler
    enableDebuggingHandlers enableProfilingHandler enableServer enableSystemLogHandler
    enableSystemLogQuery enforceNodeAllocatable eventBurst eventRecordQPS evictionMaxPodGracePeriod
    evictionMinimumReclaim evictionSoft evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates
    hairpinMode healthzBindAddress healthzPort httpCheckFrequency imageMaximumGCAge imageServiceEndpoint
    iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeReserved
    kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging makeIPTablesUtilChains
    maxOpenFiles memoryManagerPolicy memorySwap memoryThrottlingFactor mergeDefaultEvictionSettings
    nodeLeaseDurationSeconds nodeStatusMaxImages nodeStatusReportFrequency nodeStatusUpdateFrequency
    oomScoreAdj podLogsDir podPidsLimit podsPerCore protectKernelDefaults providerID qosReserved
    readOnlyPort registerNode registryBurst registryPullQPS reservedMemory reservedSystemCPUs resolvConf
    runOnce runtimeRequestTimeout seccompDefault serializeImagePulls shutdownGracePeriodByPodPriority
    singleProcessOOMKill staticPodURL staticPodURLHeader streamingConnectionIdleTimeout syncFrequency
    systemCgroups systemReserved systemReservedCgroup tlsCipherSuites tlsMinVersion
    topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing userNamespaces
    volumePluginDir volumeStatsAggPeriod
"""


def translate(document: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a KubeletConfiguration into settings by their names; any other document stays as it is."""
    if document.get("kind") != KIND:
        return dict(document)
    found = {
        _RENAMED.get(key, key): value for key, value in document.items() if key not in _MEANINGLESS.split()
    }
    certificates = (found.pop("authentication", None) or {}).get("x509") or {}
    if "clientCAFile" in certificates:
        found["client_ca_file"] = certificates["clientCAFile"]
    if taints := found.pop("registerWithTaints", None):
        found["taints"] = [f"{one['key']}={one.get('value') or ''}:{one['effect']}" for one in taints]
    if document.get("serializeImagePulls"):
        found["max_parallel_image_pulls"] = 1
    return found
