"""Which name server a pod's guests ask, and in which domains: the pod's `dnsPolicy` and `dnsConfig`. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proa.kube.models.core_v1 import Pod, PodDNSConfig
from proa.wasm import NameServer

_PORT: Final = 53
_DOTS: Final = 5
_USUAL_DOTS: Final = 1


@dataclass(frozen=True, kw_only=True)
class ClusterDns:
    """The cluster's name server.

    Attributes:
        servers: `ADDRESS` or `ADDRESS:PORT`; the first is asked.
        domain: What all of the cluster's names end with.
    """

    servers: Sequence[str] = ()
    domain: str = "cluster.local"

    def of(self, pod: Pod) -> NameServer | None:
        """Return what a pod's guests ask before the machine's resolver; None is that resolver alone."""
        config = pod.spec.dns_config or PodDNSConfig()
        dots = next((one.value for one in config.options if one.name == "ndots"), None)
        given = int(dots) if dots and dots.isdecimal() else None
        match pod.spec.dns_policy:
            case "Default":
                return None
            case "None":
                servers, search, usual = config.nameservers, config.searches, _USUAL_DOTS
            case _:
                domains = (f"{pod.metadata.namespace}.svc.{self.domain}", f"svc.{self.domain}", self.domain)
                servers, search, usual = [*self.servers], [*domains, *config.searches], _DOTS
        if not servers:
            return None
        host, port = parse_server(servers[0])
        return NameServer(host=host, port=port, search=tuple(search), dots=usual if given is None else given)


def parse_server(text: str) -> tuple[str, int]:
    """Read `ADDRESS` or `ADDRESS:PORT`.

    Raises:
        ValueError: It is not that.
    """
    try:
        return str(ipaddress.ip_address(text)), _PORT
    except ValueError:
        host, _, port = text.rpartition(":")
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f"{text!r} is not ADDRESS or ADDRESS:PORT") from None
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
