"""The resources that the API server knows, and what happens to their objects.

- `Resource`, `Catalogue`: what is served where: names, scope, verbs, subresources (from Kubernetes'
  discovery documents).
- `Strategy`: what is special about one resource: how it is prepared, checked and selected. `strategies()`
  lists them all; a new built-in type is one entry there.
- `validation`: what the fields of built-in types may hold, by API group, and what of them may change.
- `Review`, `Admission`: a write, as those who have a say in it see it.
- `Registry`: create, update and delete as every resource does them, on top of the store.

Start reading at `_registry.py`.
"""

from ._catalogue import Catalogue, catalogue
from ._options import Options
from ._registry import Registry
from ._resource import Resource, Subresource
from ._review import Admission, Review

__all__ = [
    "Admission",
    "Catalogue",
    "Options",
    "Registry",
    "Resource",
    "Review",
    "Subresource",
    "catalogue",
]
