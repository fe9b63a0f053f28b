"""What the fields of built-in types may hold, as Kubernetes has it: the same reasons, fields and number of
causes, in our own words.

A rule is declared for a type and applies wherever the type occurs, so that a container in a Deployment's
template is checked like a Pod's. Each module is about one API group or one part of pods, and has a table
`RULES`: by type, by field; the field `""` is the struct itself. A rule's second argument is the path at which
the value stands. What depends on what an object was before is in functions named `..._update`, `..._status`;
the strategies refer to them.

Start reading at `_objects.py`, then `_pods.py`.
"""

from __future__ import annotations

from proa.controlplane.registry._checks import Afterwards, Rules

from . import (
    _apps,
    _autoscaling,
    _batch,
    _containers,
    _core,
    _endpoints,
    _flow_control,
    _meta,
    _networking,
    _others,
    _placement,
    _pods,
    _policies,
    _quotas,
    _rbac,
    _security,
    _services,
    _storage,
    _volumes,
    _webhooks,
)

__all__ = ["AFTERWARDS", "RULES"]

_MODULES = (
    _apps, _autoscaling, _batch, _containers, _core, _endpoints, _flow_control, _meta, _networking, _others,
    _placement, _pods, _policies, _quotas, _rbac, _security, _services, _storage, _volumes, _webhooks,
)  # fmt: skip


_ELSEWHERE = {"meta": "io.k8s.apimachinery.pkg.apis", "apiregistration": "io.k8s.kube-aggregator.pkg.apis"}


def _full_name(name: str) -> str:
    start = _ELSEWHERE.get(name.partition(".")[0], "io.k8s.api")
    return f"{start}.{name}"


RULES: Rules = {_full_name(name): rules for module in _MODULES for name, rules in module.RULES.items()}
"""The rules by definition name."""
AFTERWARDS: Afterwards = {
    _full_name(name): check
    for module in (_apps, _pods, _storage, _volumes)
    for name, check in module.AFTERWARDS.items()
}
"""What comes of what is wrong within a struct, by definition name."""
