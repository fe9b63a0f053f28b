"""A request's whole body: the envelope that names the type, and the object within."""

from __future__ import annotations

from proa.controlplane._json import Document
from proa.controlplane.schema import type_of_kind

from ._documents import DocumentReader
from ._table import messages
from ._wire import ProtobufError, Reader, text

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
_TYPE_META, _RAW = 1, 2
_API_VERSION, _KIND = 1, 2
_NOTHING = memoryview(b"")
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def decode(body: bytes) -> Document:
    """The document that a protobuf body holds, with `apiVersion` and `kind`.

    Fields that the type does not have are skipped, as protobuf asks of its readers. Time and memory are
    linear in the body's size and bounded.

    Raises:
        ProtobufError: The body is not Kubernetes' protobuf, has more fields than any object, or its
            kind has no protobuf form that we know.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("a protobuf body begins with the bytes 'k8s' and zero")
    reader = Reader()
    envelope = reader.parts(memoryview(body)[len(MAGIC) :])
    type_meta = reader.parts(envelope.get(_TYPE_META, _NOTHING))
    api_version, kind = (text(type_meta.get(number, _NOTHING)) for number in (_API_VERSION, _KIND))
    document = DocumentReader(reader).read(_message_of(api_version, kind), envelope.get(_RAW, _NOTHING))
    return {"kind": kind, "apiVersion": api_version} | document


def _message_of(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    # Every group has a DeleteOptions of its own name; they are all one type.
    name = _DELETE_OPTIONS if kind == "DeleteOptions" else type_of_kind(group, version, kind)
    if name is None or name not in messages():
        raise ProtobufError(f'no kind "{kind}" in version "{api_version}" is known in protobuf form')
    return name
