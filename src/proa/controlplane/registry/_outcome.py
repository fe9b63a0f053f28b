"""What a write comes to, and what is said of bodies that cannot be written."""

from __future__ import annotations

import msgspec

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document
from proa.controlplane.schema import NonconformingError

from ._resource import Resource


class Outcome(msgspec.Struct):
    """A write's result: the object, whether it is new, or gone, and what the client should be warned of."""

    tail: bytes
    uid: str
    created: bool = False
    removed: bool = False
    warnings: list[str] = []


class MistypedError(errors.StatusError):
    """400: a value has the wrong type. Said of a patch's result, it is the patch that is invalid."""

    def __init__(self, error: errors.StatusError) -> None:
        super().__init__(error.code, error.reason, error.message)

    def of_patch(self) -> errors.StatusError:
        """422: the patch makes of the object what its type cannot be."""
        cause = errors.Cause("FieldValueInvalid", "patch", f"Invalid value: {self.message}")
        return errors.invalid(errors.Qualified("", ""), "", [cause])


def check_name(given: str, wanted: str) -> None:
    """Refuses an object that is named otherwise than its path, or not at all.

    Raises:
        StatusError: 400.
    """
    if not given:
        raise errors.bad_request(
            f"the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )
    if given != wanted:
        raise errors.bad_request(
            f"the name of the object ({given}) does not match the name on the URL ({wanted})"
        )


def stored_form(resource: Resource, document: Document) -> Document:
    """An object in the form in which it is stored.

    Raises:
        StatusError: 400, what it holds for other versions does not have their form.
    """
    try:
        return resource.stored(document)
    except NonconformingError:
        raise undecodable(resource, "it cannot be converted to the version that is stored") from None


def undecodable(resource: Resource, why: str) -> errors.StatusError:
    """400: the body is not an object of the resource's kind."""
    message = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}'
    return errors.bad_request(message)
