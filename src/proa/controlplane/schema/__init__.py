"""What Kubernetes' types are: their fields, what an absent field means, and how lists merge.

- `definitions`: the types by name, from the package's data file (Kubernetes' OpenAPI document without prose).
- `conform`: makes a document what Kubernetes would store: fields it does not know dropped, empty ones
  too, defaults filled in. It is compiled per type and runs for every write. `problems` is its slow twin,
  which says what is wrong and where.
- `_constants`, `_defaults`: the values that Kubernetes gives to fields left out, by type.

Start reading at `_conform.py`.
"""

from ._conform import Conformer, NonconformingError
from ._constants import nulls
from ._definitions import definitions, type_of_kind
from ._problems import Problems, problems

__all__ = [
    "Conformer",
    "NonconformingError",
    "Problems",
    "definitions",
    "nulls",
    "problems",
    "type_of_kind",
]
