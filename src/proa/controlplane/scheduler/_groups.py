"""Which pods belong together though they do not say so: those of a Service, a ReplicaSet or a StatefulSet."""

from __future__ import annotations

from proa.kube import Selector
from proa.kube.models.apps_v1 import ReplicaSet, StatefulSet
from proa.kube.models.core_v1 import Pod, Service
from proa.kube.models.meta_v1 import LabelSelector


class Groups:
    """What Services and controllers select, kept as they come and go."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, Selector]] = {}
        self._controllers: dict[str, Selector] = {}

    def set_service(self, service: Service) -> None:
        """Take in a new or changed Service; one without a selector means no pods."""
        if service.spec.selector:
            chosen = Selector.of(LabelSelector(match_labels=service.spec.selector))
            self._services.setdefault(service.metadata.namespace or "", {})[_name(service)] = chosen
        else:
            self.remove_service(service)

    def remove_service(self, service: Service) -> None:
        """Forget a Service."""
        namespace = service.metadata.namespace or ""
        known = self._services.get(namespace, {})
        known.pop(_name(service), None)
        if not known:
            self._services.pop(namespace, None)

    def set_controller(self, controller: ReplicaSet | StatefulSet) -> None:
        """Take in a new or changed controller of pods."""
        self._controllers[controller.metadata.uid or ""] = Selector.of(controller.spec.selector)

    def remove_controller(self, controller: ReplicaSet | StatefulSet) -> None:
        """Forget a controller."""
        self._controllers.pop(controller.metadata.uid or "", None)

    def selector(self, pod: Pod) -> Selector | None:
        """Return what means the pods that are together with `pod` in everything; None if it is in nothing."""
        services = self._services.get(pod.metadata.namespace or "", {})
        found = [one for _, one in sorted(services.items()) if one.matches(pod.metadata.labels)]
        owners = (one.uid for one in pod.metadata.owner_references if one.controller)
        found += [self._controllers[uid] for uid in owners if uid in self._controllers]
        requirements = tuple(requirement for one in found for requirement in one.requirements)
        return Selector(requirements) if requirements else None


def _name(service: Service) -> str:
    return service.metadata.name or ""
