"""Patches as pure functions: a document and a patch in, a new document out; neither is changed.

- `json_patch`: RFC 6902.
- `merge_patch`: RFC 7386.
- `strategic_merge_patch`: Kubernetes' own, in which lists merge by the keys that the type declares.

All raise `PatchError` for a patch that does not make sense or does not fit the document.
"""

from ._errors import PatchError, TestFailedError
from ._json_patch import MAX_OPERATIONS, json_patch
from ._merge import merge_patch
from ._strategic import strategic_merge_patch

__all__ = [
    "MAX_OPERATIONS",
    "PatchError",
    "TestFailedError",
    "json_patch",
    "merge_patch",
    "strategic_merge_patch",
]
