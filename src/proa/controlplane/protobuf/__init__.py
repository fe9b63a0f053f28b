"""Kubernetes' protobuf form of objects, read into the documents that their JSON form would give.

kubectl's `create`, `expose`, `auth`, `drain` and their like send their bodies so. Bodies are only read:
every client that sends protobuf accepts JSON as answer.

- `_body.py`: a whole body: the envelope, and which type it holds. Start reading here.
- `_documents.py`: messages into documents, as Go's server would see them.
- `_table.py`: each type's fields by number, from the package's data (made by tools/protobuf_fields.py).
  The first body reads it, unless `messages()` was called before: an event loop should not wait for a file.
- `_wire.py`: protobuf's encoding of fields, and the limits that hostile bodies meet.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from ._body import MEDIA_TYPE, decode
from ._table import messages
from ._wire import ProtobufError

__all__ = ["MEDIA_TYPE", "ProtobufError", "decode", "messages"]
