"""Custom resources from types: a spec and a status written as Structs are all there is to write.

    class WidgetSpec(Model, kw_only=True):
        size: Annotated[int, Meta(ge=1, le=10)] = 3
        "How big, in centimetres."

    @crd.resource(group="example.com", version="v1", columns=(crd.Column("Size", ".spec.size"),))
    class Widget(Namespaced, kw_only=True):
        "Something to play with."

        spec: WidgetSpec
        status: WidgetStatus = field(default_factory=WidgetStatus)

    await Api(client, CustomResourceDefinition).create(crd.definition(Widget))
    async for widget in Api(client, Widget, namespace="default").list(): ...

`proa crd generate MODULE:CLASS` prints the definition. What becomes of which Python type:

| Python | schema |
|---|---|
| `bool`, `int`, `float`, `str`, `bytes` | boolean, integer, number, string, string of format `byte` |
| `datetime`, `date`, `UUID`, `Duration` | string with the format |
| `Quantity` | int-or-string; `IntOrString` as well |
| `Literal`, `Enum` | enum |
| a `None` beside the type | nullable |
| `list[T]`, `set[T]`, `dict[str, T]` | array, array that is a set, map |
| a Struct | object; `Any` is any JSON, kept as it is |
| `Annotated[T, Meta(...)]` | bounds, lengths, pattern, description |
| `Annotated[T, crd.list_map("name")]` and others here | the extensions of Kubernetes |
| a default | the same default, written by the server |
| docstrings, of classes and under attributes | descriptions |

A `__rules__` of a class holds its CEL rules. A type that holds itself is refused: structural schemas cannot
say that.

Parts: `_definition`, the resource and its definition (start reading there); `_schema`, types to schemas;
`_markers`, what annotations can say; `_docs`, docstrings.
"""

from proa.kube.crd._definition import Column, Scale, definition, document, resource
from proa.kube.crd._markers import (
    Rule,
    list_atomic,
    list_map,
    list_set,
    map_atomic,
    map_granular,
    preserve_unknown_fields,
    rules,
)
from proa.kube.crd._schema import CrdError

__all__ = [
    "Column",
    "CrdError",
    "Rule",
    "Scale",
    "definition",
    "document",
    "list_atomic",
    "list_map",
    "list_set",
    "map_atomic",
    "map_granular",
    "preserve_unknown_fields",
    "resource",
    "rules",
]
