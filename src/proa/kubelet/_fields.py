"""What a pod may ask about itself: the downward API's fields and resources. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING
from typing import Final

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Pod, ResourceFieldSelector
from proa.kubelet.errors import ContainerConfigError

_ENTRY: Final = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")


@dataclass(frozen=True, kw_only=True)
class PodFields:
    """A pod's facts, under the names that `fieldRef` and `resourceFieldRef` use.

    Attributes:
        pod: The pod.
        pod_ip: Its address.
        host_ip: Its node's.
        allocatable: What the node has to give: stands in for limits that are not set.
    """

    pod: Pod
    pod_ip: str
    host_ip: str
    allocatable: Mapping[str, Quantity]

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return self.pod.metadata.namespace or ""

    @property
    def hostname(self) -> str:
        """What the guest's `HOSTNAME` says."""
        return self.pod.spec.hostname or self.pod.metadata.name or ""

    def value(self, path: str) -> str:
        """The value of a field such as `metadata.name` or `metadata.labels['app']`; empty when unset.

        Raises:
            ContainerConfigError: There is no such field.
        """
        metadata = self.pod.metadata
        if match := _ENTRY.fullmatch(path):
            entries = metadata.labels if match["map"] == "labels" else metadata.annotations
            return entries.get(match["key"], "")
        values = {
            "metadata.name": metadata.name,
            "metadata.namespace": metadata.namespace,
            "metadata.uid": metadata.uid,
            "metadata.labels": _lines(metadata.labels),
            "metadata.annotations": _lines(metadata.annotations),
            "spec.nodeName": self.pod.spec.node_name,
            "spec.serviceAccountName": self.pod.spec.service_account_name,
            "status.hostIP": self.host_ip,
            "status.hostIPs": self.host_ip,
            "status.podIP": self.pod_ip,
            "status.podIPs": self.pod_ip,
        }
        if path not in values:
            raise ContainerConfigError(f"fieldRef: there is no field {path!r}")
        return values[path] or ""

    def resource(self, selector: ResourceFieldSelector, container: Container | None) -> str:
        """A limit or request of a container in units of the divisor, rounded up.

        Args:
            selector: What is asked for.
            container: Of which container, unless the selector names one.

        Raises:
            ContainerConfigError: There is no such container or resource.
        """
        name = selector.container_name or (container.name if container else "")
        known = {one.name: one for one in [*self.pod.spec.init_containers, *self.pod.spec.containers]}
        kind, _, resource = selector.resource.partition(".")
        if name not in known or kind not in {"limits", "requests"}:
            raise ContainerConfigError(f"resourceFieldRef: no {selector.resource!r} of container {name!r}")
        amount = self._amount(known[name], kind, resource)
        try:
            divisor = selector.divisor.value if selector.divisor else Quantity("1").value
            return str((amount.value / divisor).to_integral_value(ROUND_CEILING))
        except ValueError as error:
            raise ContainerConfigError(f"resourceFieldRef {selector.resource}: {error}") from error

    def _amount(self, container: Container, kind: str, resource: str) -> Quantity:
        resources = container.resources
        if kind == "limits":
            return resources.limits.get(resource) or self.allocatable.get(resource) or Quantity("0")
        return resources.requests.get(resource) or resources.limits.get(resource) or Quantity("0")


def _lines(entries: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))


def _quoted(value: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'
