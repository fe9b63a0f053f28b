"""Where a pod's guests may send HTTP requests: what its annotations say. Pure."""

from typing import Final

from proa.kube.models.core_v1 import Pod
from proa.kubelet._cluster_dns import ClusterDns
from proa.kubelet.errors import ContainerConfigError
from proa.wasm import Outbound

ALLOWED_HOSTS: Final = "proa.dev/allowed-hosts"
MAX_REQUESTS: Final = "proa.dev/max-concurrent-requests"


def outbound(pod: Pod, dns: ClusterDns) -> Outbound | None:
    """The hosts that are allowed, and who knows their names; None when no requests are.

    Hosts are URLs, such as `https://example.com`, separated by commas or white space.

    Raises:
        ContainerConfigError: An annotation makes no sense.
    """
    annotations = pod.metadata.annotations
    hosts = tuple(annotations.get(ALLOWED_HOSTS, "").replace(",", " ").split())
    if not hosts:
        return None
    for host in hosts:
        if "://" not in host and host != "insecure:allow-all":
            raise ContainerConfigError(f"annotation {ALLOWED_HOSTS}: {host!r} is no URL: https://{host}?")
    most = annotations.get(MAX_REQUESTS)
    if most is not None and not (most.isdecimal() and int(most) > 0):
        raise ContainerConfigError(f"annotation {MAX_REQUESTS}: {most!r} is no number from 1 on")
    return Outbound(hosts=hosts, max_requests=int(most) if most else None, name_server=dns.of(pod))
