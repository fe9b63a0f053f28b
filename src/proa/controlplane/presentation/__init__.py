"""How the API presents itself and its objects. Pure.

- `discovery`: which groups, versions and resources there are, in the plain and the aggregated form.
- `table_of`: objects as rows, with the columns that kubectl prints.
- `openapi_v2`, `openapi_v3`: the types, for kubectl's validation and `kubectl explain`.
"""

from ._discovery import Discovery
from ._openapi import openapi_v2, openapi_v3, openapi_v3_index
from ._table import Table, table_of

__all__ = ["Discovery", "Table", "openapi_v2", "openapi_v3", "openapi_v3_index", "table_of"]
