"""A custom resource of two Structs: its type, and the definition that makes a server offer it."""

from typing import Annotated

import yaml
from msgspec import Meta, field

from proa.kube import crd
from proa.kube.models import Model, Namespaced, Quantity


class WidgetSpec(Model, kw_only=True):
    """What a widget shall be."""

    size: Annotated[int, Meta(ge=1, le=10)] = 3
    """How big, in centimetres."""
    memory: Quantity = field(default_factory=lambda: Quantity("64Mi"))
    tags: Annotated[list[str], crd.list_set()] = field(default_factory=list)


class WidgetStatus(Model, kw_only=True):
    """What a widget is."""

    ready: bool = False


@crd.resource(
    group="example.com", version="v1", short_names=("wd",), columns=(crd.Column("Size", ".spec.size"),)
)
class Widget(Namespaced, kw_only=True):
    """Something to play with."""

    spec: WidgetSpec
    status: WidgetStatus = field(default_factory=WidgetStatus)


print(yaml.safe_dump(crd.document(Widget), sort_keys=False))
