"""What the API server answers when it refuses, and what its own process fails with.

`StatusError` is a refusal: it becomes a Kubernetes `Status` object. The functions here make the usual
ones, each with the code, reason and details that Kubernetes gives; messages are our own.
`ControlPlaneError` is for whoever starts the server: a state directory that is unusable, a port in use.

    ProaError
    └── ControlPlaneError    the server cannot start or go on
    Exception
    └── StatusError          a request is refused
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from proa.app import ProaError

MAX_CAUSES = 1000
"""How many causes an error names at most."""


class ControlPlaneError(ProaError):
    """The API server cannot start or go on; the message says why and what to do. Not retryable."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong with one field of a request."""

    reason: str
    field: str
    message: str

    def to_document(self) -> dict[str, str]:
        """The cause as it stands in a Status's details."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


@dataclass(frozen=True, slots=True)
class Qualified:
    """A resource or kind with its API group, as errors name it."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.group}" if self.group else self.name


class StatusError(Exception):
    """A request is refused; `to_document` is the Status that the client gets."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata: dict[str, Any] = {}
        self.warnings: list[str] = []
        """What the client is warned of besides."""

    def to_document(self) -> dict[str, Any]:
        """The refusal as a `Status` object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status | {"code": self.code}


def details(what: Qualified, name: str = "", **more: Any) -> dict[str, Any]:
    """A Status's details: the object's name, group and kind, each only where there is one."""
    named = {"name": name, "group": what.group, "kind": what.name}
    return {key: value for key, value in named.items() if value} | more


def bad_request(message: str) -> StatusError:
    """400: the request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: the credentials are not valid."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def not_found(what: Qualified, name: str) -> StatusError:
    """404: there is no such object."""
    return StatusError(404, "NotFound", f'{what} "{name}" not found', details(what, name))


def no_resource() -> StatusError:
    """404: the API has no such resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """405: the resource does not do that."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def already_exists(what: Qualified, name: str) -> StatusError:
    """409: an object of this name exists."""
    return StatusError(409, "AlreadyExists", f'{what} "{name}" already exists', details(what, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(what: Qualified, name: str, why: str = MODIFIED) -> StatusError:
    """409: the object is not in the state that the request expects."""
    message = f'Operation cannot be fulfilled on {what} "{name}": {why}'
    return StatusError(409, "Conflict", message, details(what, name))


def expired(message: str, go_on: str = "") -> StatusError:
    """410: a resource version or continue token is too old; perhaps with a token to go on with anyway."""
    error = StatusError(410, "Expired", message)
    error.metadata = {"continue": go_on} if go_on else {}
    return error


def unsupported_media_type(message: str, *, detailed: bool = False) -> StatusError:
    """415: the body's type is not one that the resource takes."""
    return StatusError(415, "UnsupportedMediaType", message, {} if detailed else None)


def invalid(what: Qualified, name: str, causes: Iterable[Cause]) -> StatusError:
    """422: the object is understood and wrong; all causes at once, as far as anybody would read them."""
    causes = list(islice(causes, MAX_CAUSES))
    listed = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    said = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    documents = [cause.to_document() for cause in causes]
    message = f'{what} "{name}" is invalid: {said}'
    return StatusError(422, "Invalid", message, details(what, name, causes=documents))


def unprocessable_patch() -> StatusError:
    """422: a JSON patch does not apply to the object."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def resource_version_too_large(wanted: int, current: int) -> StatusError:
    """504: the client has seen a future that this server has not."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return StatusError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def internal(why: str = "the server's log says what went wrong") -> StatusError:
    """500: a bug of ours, of which the log has the rest, or what the machine lacks."""
    message = f"Internal error occurred: {why}"
    return StatusError(500, "InternalError", message, {"causes": [{"message": why}]})


def required(field: str, message: str = "") -> Cause:
    """The field must have a value."""
    return Cause("FieldValueRequired", field, f"Required value: {message}" if message else "Required value")


def invalid_value(field: str, value: Any, why: str) -> Cause:
    """The field's value is not one that it may have."""
    return Cause("FieldValueInvalid", field, f"Invalid value: {quoted(value)}: {why}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """The field takes one of a few values, and this is none of them."""
    listed = ", ".join(f'"{one}"' for one in supported)
    message = f"Unsupported value: {quoted(value)}: supported values: {listed}"
    return Cause("FieldValueNotSupported", field, message)


def duplicate(field: str, value: Any) -> Cause:
    """The value must be unique within its list."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {quoted(value)}")


def forbidden(field: str, why: str) -> Cause:
    """The field may not be set or changed."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def value_not_found(field: str, value: Any) -> Cause:
    """The field refers to what is not there."""
    return Cause("FieldValueNotFound", field, f"Not found: {quoted(value)}")


def too_long(field: str, most: int) -> Cause:
    """The value has too many bytes."""
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {most} bytes")


def too_many(field: str, count: int, most: int) -> Cause:
    """The list has too many items."""
    return Cause("FieldValueTooMany", field, f"Too many: {count}: must have at most {most} items")


def quoted(value: Any) -> str:
    """A value as error messages show it: JSON."""
    from . import _json

    return _json.encode(value).decode()
