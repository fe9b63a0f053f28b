"""All that is wrong with an object, new or changed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proa.controlplane._errors import Cause
from proa.controlplane._json import Document
from proa.controlplane.registry._metadata import ONCE, validate_metadata, validate_metadata_update

if TYPE_CHECKING:
    from proa.controlplane.registry._resource import Resource


def problems_of(
    resource: Resource, new: Document, old: Document | None, subresource: str = ""
) -> list[Cause]:
    """What its metadata, its type and its strategy say against an object."""
    strategy = resource.strategy
    finalizers = strategy.standard_finalizers
    if old is None:
        found = validate_metadata(new["metadata"], strategy.name_rule, standard_finalizers=finalizers)
        return found + _fields(resource, new) + strategy.validate_new(new) + resource.check(new, None)
    partly = subresource and subresource not in strategy.whole_parts
    metadata, rechecks = new["metadata"], ONCE if partly else strategy.rechecks
    found = validate_metadata_update(metadata, old["metadata"], rechecks, standard_finalizers=finalizers)
    found += resource.check(new, old)
    if subresource:
        part = strategy.validate_part.get(subresource)
        found += [] if partly else _fields(resource, new)
        return found + (part(new, old) if part else [])
    return found + _fields(resource, new) * rechecks.fields + strategy.validate_update(new, old)


def _fields(resource: Resource, document: Document) -> list[Cause]:
    found = resource.checker(document) if resource.checker is not None else []
    return found + resource.strategy.validate(document)
