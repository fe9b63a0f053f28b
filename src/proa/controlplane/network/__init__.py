"""The cluster's network on one machine, without root: Services, Ingresses and names; start at `Network`.

- Services: `_routes` says what is listened on and where it leads, `_balancer` who gets a connection; `_proxy`
  opens and closes the listeners of `_tcp` and `_udp`. TCP bytes pass through the kernel only (`_relay`).
- Ingresses: `_ingress_rules` says which Service a request is for, `_certificates` by which certificate;
  `_ingress` serves, `_forward` sends a request on.
- Names: `_names` says what each is, `_dns` puts it into messages.
- `_directory` is where Ingresses and names look up Services.

Pods have addresses of their own in 127.66.0.0/16 and Services in 127.67.0.0/16: on Linux all of 127.0.0.0/8
is the loopback interface, so they need neither interfaces nor rules.
"""

from proa.controlplane.network._ingress_rules import CLASS, CONTROLLER
from proa.controlplane.network._network import Network

__all__ = ["CLASS", "CONTROLLER", "Network"]
