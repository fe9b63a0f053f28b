"""What the tests of validation share: the causes that Kubernetes would name, found without a server."""

from collections.abc import Callable
from typing import Any

import pytest

from proa.controlplane._json import clone
from proa.controlplane.registry import Resource, catalogue
from proa.controlplane.registry.validation._objects import problems_of

Json = dict[str, Any]
_SYSTEM = {"uid": "11111111-2222-3333-4444-555555555555", "creationTimestamp": "2026-01-01T00:00:00Z"}


def _resource(name: str) -> Resource:
    plural, _, group = name.partition(".")
    found = catalogue().find(group, plural)
    assert found is not None, name
    return found


def _prepared(resource: Resource, document: Json) -> Json:
    document = clone(document)
    metadata = {"name": "x", **document.get("metadata", {}), **_SYSTEM}
    if resource.namespaced:
        metadata["namespace"] = "default"
    new = resource.conformer({**document, "metadata": metadata})
    resource.strategy.prepare_create(new)
    return new


def _told(resource: Resource, new: Json, old: Json | None = None, subresource: str = "") -> list[str]:
    found = problems_of(resource, new, old, subresource)
    return sorted(f"{cause.reason.removeprefix('FieldValue')} {cause.field}" for cause in found)


Created = Callable[[str, Json], list[str]]
Updated = Callable[..., list[str]]


@pytest.fixture
def created() -> Created:
    """The causes for which a new object is refused, as `Required spec.field`."""

    def causes(name: str, document: Json) -> list[str]:
        resource = _resource(name)
        return _told(resource, _prepared(resource, document))

    return causes


@pytest.fixture
def updated() -> Updated:
    """The causes for which a change of an object is refused; the object itself is valid."""

    def causes(name: str, before: Json, after: Json, subresource: str = "") -> list[str]:
        resource = _resource(name)
        old = _prepared(resource, before)
        assert _told(resource, old) == []
        new = resource.conformer(clone(after))
        new["metadata"] = {**old["metadata"], **new.get("metadata", {})}
        if subresource:
            new.setdefault("spec", old.get("spec", {}))
        else:
            if "status" in old:
                new["status"] = old["status"]
            resource.strategy.prepare_update(new, old)
        return _told(resource, new, old, subresource)

    return causes
