"""Custom resources: definitions become resources that are served like the built-in ones.

- `CustomResources`: follows the definitions; accepts names, serves, removes instances. Start reading here
  (`_keeper.py`).
- `CustomResource`: a version of a definition as a `Resource`: prunes, fills in defaults, validates.
- `Conversions`: asks a definition's webhook for an object's form in other versions.
- `validate_definition` and its companions: what is special about definitions as objects.

Schemas, pruning, defaults, values, rules and names are pure functions in modules of their own.
"""

from ._conversion import Conversions
from ._keeper import DEFINITIONS, CustomResources
from ._resource import CustomResource, resources_of

__all__ = ["DEFINITIONS", "Conversions", "CustomResource", "CustomResources", "resources_of"]
