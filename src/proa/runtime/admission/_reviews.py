"""Reviews as the API server sends them, and the answers. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from proa.app import ProaError
from proa.kube import decode, encode
from proa.kube.models import Resource
from proa.kube.models.authentication_v1 import UserInfo
from proa.runtime.admission._json_diff import json_diff

K = TypeVar("K", bound=Resource)
Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Document: TypeAlias = dict[str, Any]


class DeniedError(ProaError):
    """The request is not to be carried out; raise it in a webhook, with a message for the user."""

    def __init__(self, message: str, *, code: int = 403, reason: str = "Forbidden") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ReviewError(ProaError):
    """What was posted is no review that can be answered."""


@dataclass(frozen=True)
class Request(Generic[K]):
    """A request to the API server that a webhook is asked about.

    Attributes:
        uid: What the API server calls this question.
        operation: What is to be done.
        object: The object as it is to be; as it was, for DELETE.
        old: The object as it was, for UPDATE.
        user: Who asks.
        dry_run: Whether nothing will be stored: then nothing else may be changed either.
        warnings: Append what the user is to be told, whatever the answer is.
    """

    uid: str
    operation: Operation
    object: K
    old: K | None = None
    user: UserInfo = field(default_factory=UserInfo)
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


class _Raw(msgspec.Struct, rename="camel"):
    uid: str
    operation: Operation
    object: msgspec.Raw = msgspec.Raw(b"")
    old_object: msgspec.Raw = msgspec.Raw(b"")
    user_info: UserInfo = msgspec.field(default_factory=UserInfo)
    dry_run: bool | None = None


class _Review(msgspec.Struct):
    request: _Raw


def read(body: bytes, type_: type[K]) -> tuple[Request[K], Document]:
    """Return the question, and its object as the API server sent it, with fields that the type does not know.

    Raises:
        DecodeError: the body is no AdmissionReview of such an object.
        ReviewError: it has no object.
    """
    raw = decode(body, _Review).request
    current, old = _present(raw.object), _present(raw.old_object)
    subject = current or old
    if subject is None:
        raise ReviewError("the review has neither an object nor an old one")
    request = Request(
        uid=raw.uid,
        operation=raw.operation,
        object=decode(subject, type_),
        old=decode(old, type_) if old is not None and current is not None else None,
        user=raw.user_info,
        dry_run=bool(raw.dry_run),
    )
    return request, msgspec.json.decode(subject)


def _present(raw: msgspec.Raw) -> msgspec.Raw | None:
    return None if bytes(raw) in {b"", b"null"} else raw


def allowed(request: Request[Any], before: Document | None = None, after: Resource | None = None) -> Document:
    """Return the answer that lets the request pass, changed to `after` if that is given.

    The patch holds what differs between the object as its type reads it and `after`: what the type does not
    know is left alone.
    """
    response: Document = {"uid": request.uid, "allowed": True}
    if before is not None and after is not None:
        read_as: Document = msgspec.json.decode(encode(decode(encode(before), type(after))))
        wanted: Document = msgspec.json.decode(encode(after))
        operations = [each for each in json_diff(read_as, wanted) if _applies(each, before)]
        if operations:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(encode(operations)).decode()}
    return _answer(request, response)


def _applies(operation: Document, document: Document) -> bool:
    """Turn `replace` and `add` into what fits the document: defaults of the type may not be in it."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    place: Any = document
    for part in parents:
        place = place.get(part, {}) if isinstance(place, dict) else {}
    if operation["op"] == "remove":
        return last in place
    operation["op"] = "replace" if last in place else "add"
    return True


def denied(request: Request[Any], error: DeniedError) -> Document:
    """Return the answer that refuses the request."""
    status = {"code": error.code, "reason": error.reason, "message": str(error)}
    return _answer(request, {"uid": request.uid, "allowed": False, "status": status})


def _answer(request: Request[Any], response: Document) -> Document:
    if request.warnings:
        response["warnings"] = list(request.warnings)
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


Converter: TypeAlias = Callable[[Any], Resource]


class _Conversion(msgspec.Struct, rename="camel"):
    uid: str
    desired_api_version: str = msgspec.field(name="desiredAPIVersion")
    objects: Sequence[Document] = ()


class _ConversionReview(msgspec.Struct):
    request: _Conversion


def convert(body: bytes, converters: Mapping[tuple[str, str], tuple[type[Resource], Converter]]) -> Document:
    """Answer a ConversionReview: every object in the version asked for, or one refusal for all.

    Args:
        body: The review.
        converters: By the versions from and to: the type to read, and what converts it.

    Raises:
        DecodeError: the body is no ConversionReview.
    """
    request = decode(body, _ConversionReview).request
    response: Document = {"uid": request.uid}
    try:
        objects = [_converted(obj, request.desired_api_version, converters) for obj in request.objects]
    except ProaError as error:
        response["result"] = {"status": "Failure", "message": str(error)}
    else:
        response |= {"result": {"status": "Success"}, "convertedObjects": objects}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}


def _converted(
    obj: Document, wanted: str, converters: Mapping[tuple[str, str], tuple[type[Resource], Converter]]
) -> Document:
    version = obj.get("apiVersion", "")
    if version == wanted:
        return obj
    if (version, wanted) not in converters:
        raise ReviewError(f"nothing converts {obj.get('kind')} from {version} to {wanted}")
    type_, convert_one = converters[version, wanted]
    converted: Document = msgspec.json.decode(encode(convert_one(decode(encode(obj), type_))))
    # Metadata must come back as it was sent, except for labels and annotations.
    metadata = {**obj["metadata"]}
    for name in ("labels", "annotations"):
        metadata.pop(name, None)
        if found := converted.get("metadata", {}).get(name):
            metadata[name] = found
    return {**converted, "apiVersion": wanted, "metadata": metadata}
