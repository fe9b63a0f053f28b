"""Which groups, versions and resources there are, in the plain form and the aggregated one.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.registry import Catalogue, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


class Discovery:
    """Documents about what a catalogue serves."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def core_versions(self, address: str) -> Document:
        """`/api`."""
        return {
            "kind": "APIVersions",
            "versions": self._catalogue.groups()[""],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }

    def group_list(self) -> Document:
        """`/apis`."""
        groups = [self.group(name) for name in self._catalogue.groups() if name]
        bare = [
            {key: value for key, value in group.items() if key not in {"kind", "apiVersion"}}
            for group in groups
            if group
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": bare}

    def group(self, name: str) -> Document | None:
        """`/apis/GROUP`."""
        versions = self._catalogue.groups().get(name)
        if not versions or not name:
            return None
        listed = [{"groupVersion": _api_version(name, version), "version": version} for version in versions]
        return {
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": name,
            "versions": listed,
            "preferredVersion": listed[0],
        }

    def resource_list(self, group: str, version: str) -> Document | None:
        """`/api/v1` and `/apis/GROUP/VERSION`."""
        served = self._catalogue.served(group, version)
        if served is None:
            return None
        entries = []
        for resource in served.values():
            entries.append(_entry(resource))
            entries += [_sub_entry(resource, name) for name in resource.subresources]
        # Kubernetes leaves the version out for the core group.
        head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
        return head | {"groupVersion": _api_version(group, version), "resources": entries}

    def aggregated(self, *, core: bool) -> Document:
        """`/api` or `/apis` in the aggregated form: all at once."""
        groups = [name for name in self._catalogue.groups() if (name == "") == core]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": [self._aggregated_group(name) for name in groups],
        }

    def _aggregated_group(self, name: str) -> Document:
        versions = []
        for version in self._catalogue.groups()[name]:
            served = self._catalogue.served(name, version) or {}
            resources = [_aggregated_entry(resource) for resource in served.values()]
            versions.append({"version": version, "resources": resources, "freshness": "Current"})
        metadata: Document = {"creationTimestamp": None}
        if name:
            metadata["name"] = name
        return {"metadata": metadata, "versions": versions}


def _optional(resource: Resource) -> dict[str, Any]:
    optional = {"shortNames": list(resource.short_names), "categories": list(resource.categories)}
    return {key: value for key, value in optional.items() if value}


def _entry(resource: Resource) -> Document:
    entry: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **_optional(resource),
    }
    if resource.is_stored:
        entry["storageVersionHash"] = resource.storage_version_hash
    return entry


def _sub_entry(resource: Resource, name: str) -> Document:
    sub = resource.subresources[name]
    entry: Document = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    if sub.version:
        entry |= {"group": sub.group, "version": sub.version}
    return entry


def _aggregated_entry(resource: Resource) -> Document:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Document = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_optional(resource),
    }
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group or resource.group,
                    "version": sub.version or resource.version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return entry
