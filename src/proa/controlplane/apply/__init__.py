"""Server-side apply and the ownership of fields, as pure functions on documents.

- `Shapes`, `Struct`: how a type's values divide into fields that can be owned.
- `Manager`, `after_creation`, `after_update`: `metadata.managedFields` after a write.
- `apply`, `after_apply`: a configuration merged into the live object, what its manager gave up pruned,
  conflicts with other managers found.
- `Fields`: sets of fields, in the form in which objects carry them.

Start reading at `_managed.py`.
"""

from ._compiler import Shapes
from ._fields import Fields, paths
from ._managed import (
    Conflict,
    ConflictsError,
    Entries,
    Manager,
    after_apply,
    after_claim,
    after_creation,
    after_update,
    apply,
    entries_of,
)
from ._shapes import Struct, UndeclaredError, atomics

__all__ = [
    "Conflict",
    "ConflictsError",
    "Entries",
    "Fields",
    "Manager",
    "Shapes",
    "Struct",
    "UndeclaredError",
    "after_apply",
    "after_claim",
    "after_creation",
    "after_update",
    "apply",
    "atomics",
    "entries_of",
    "paths",
]
