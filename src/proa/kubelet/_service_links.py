"""The variables that tell a container of the Services around it (`enableServiceLinks`). Pure.

They are Docker's of old, by which programs find what was there when they started; DNS does not need them.
"""

from collections.abc import Iterable, Iterator

from proa.kube.models.core_v1 import Service

_MASTER = ("default", "kubernetes")


def variables(services: Iterable[Service], namespace: str, *, links: bool) -> dict[str, str]:
    """The variables for a container.

    Args:
        services: All Services that are known.
        namespace: The pod's.
        links: Whether the pod wants to know of the Services beside it; the API server's is always told.
    """
    found: dict[str, Service] = {}
    for service in services:
        place = (service.metadata.namespace, service.metadata.name)
        if service.spec.cluster_ip in {None, "", "None"} or not service.spec.ports:
            continue
        if place == _MASTER:
            found.setdefault("kubernetes", service)
        elif links and place[0] == namespace:
            found[service.metadata.name or ""] = service
    return {key: value for name in sorted(found) for key, value in _of(name, found[name])}


def _of(name: str, service: Service) -> Iterator[tuple[str, str]]:
    prefix, host = _upper(name), service.spec.cluster_ip or ""
    first = service.spec.ports[0]
    yield f"{prefix}_SERVICE_HOST", host
    yield f"{prefix}_SERVICE_PORT", str(first.port)
    for port in service.spec.ports:
        if port.name:
            yield f"{prefix}_SERVICE_PORT_{_upper(port.name)}", str(port.port)
    around = f"[{host}]" if ":" in host else host
    for index, port in enumerate(service.spec.ports):
        protocol = port.protocol or "TCP"
        address = f"{protocol.lower()}://{around}:{port.port}"
        if index == 0:
            yield f"{prefix}_PORT", address
        one = f"{prefix}_PORT_{port.port}_{protocol}"
        parts = {"": address, "_PROTO": protocol.lower(), "_PORT": str(port.port), "_ADDR": host}
        yield from ((one + suffix, value) for suffix, value in parts.items())


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
