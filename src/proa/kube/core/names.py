"""What may stand as one segment of a request's path."""

from __future__ import annotations

from urllib.parse import quote

from proa.kube.errors import InvalidRequestError


def segment(value: str, what: str) -> str:
    """Return `value` quoted as one segment of a path, by the rule of apimachinery's `IsValidPathSegmentName`.

    Raises:
        InvalidRequestError: it is empty, `.` or `..`, or holds a slash or a percent sign.
    """
    if not value:
        raise InvalidRequestError(f"{what} is empty")
    if value in {".", ".."} or "/" in value or "%" in value:
        raise InvalidRequestError(f"{what} {value!r} must not be '.' or '..' or hold '/' or '%'")
    return quote(value, safe=":@!$&'()*+,;=")
