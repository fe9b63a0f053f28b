"""What is there in every cluster from its first moment: the namespaces, the `kubernetes` service,
priority classes.
"""

from __future__ import annotations

from ._errors import StatusError
from ._json import Document
from .admission import PRIORITIES
from .registry import Catalogue, Options, Registry

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def objects(api_address: str, api_port: int, service_address: str) -> list[tuple[str, str, str, Document]]:
    """The objects: group, resource, namespace, document. The first thing that is written to a new cluster."""
    found: list[tuple[str, str, str, Document]] = [
        ("", "namespaces", "", {"metadata": {"name": name}}) for name in NAMESPACES
    ]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": api_port}
    service = {
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": service_address, "ports": [port]},
    }
    found.append(("", "services", "default", service))
    endpoints = {
        "metadata": {"name": "kubernetes"},
        "subsets": [
            {
                "addresses": [{"ip": api_address}],
                "ports": [{"name": "https", "port": api_port, "protocol": "TCP"}],
            }
        ],
    }
    found.append(("", "endpoints", "default", endpoints))
    for name, value in PRIORITIES.items():
        document = {"metadata": {"name": name}, "value": value, "description": "For what the cluster needs."}
        found.append(("scheduling.k8s.io", "priorityclasses", "", document))
    return found


async def bootstrap(
    registry: Registry, catalogue: Catalogue, wanted: list[tuple[str, str, str, Document]]
) -> None:
    """Creates what is not there, and brings the API's own endpoints up to date: its port may have changed."""
    for group, plural, namespace, document in wanted:
        resource = catalogue.find(group, plural)
        assert resource is not None
        name = document["metadata"]["name"]
        if registry.store.latest(registry.key(resource, namespace, name)) is None:
            try:
                await registry.create(resource, namespace, document, Options())
            except StatusError as error:
                if error.code != 403:  # its namespace is being deleted: as somebody wished
                    raise
        elif plural == "endpoints":
            await registry.update(resource, namespace, name, lambda _, given=document: given, Options())  # type: ignore[misc]
