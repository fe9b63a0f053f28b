"""What may stand as one segment of a request's path."""

from __future__ import annotations

from proa.kube.errors import InvalidRequestError


def segment(value: str, what: str) -> str:
    """Return `value` if it can be one segment of a path: `IsValidPathSegmentName` of apimachinery.

    Raises:
        InvalidRequestError: it is empty, `.` or `..`, or holds a slash or a percent sign.
    """
    if not value:
        raise InvalidRequestError(f"{what} is empty")
    if value in {".", ".."} or "/" in value or "%" in value:
        raise InvalidRequestError(f"{what} {value!r} must not be '.' or '..' or hold '/' or '%'")
    return value
