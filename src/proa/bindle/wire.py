"""Documents of Bindle's HTTP protocol beside invoices, and the choice between TOML and JSON. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from proa.bindle.invoice import Document, Format, Invoice, Label

__all__ = (
    "CONTENT_TYPES",
    "UPLOAD_OFFSET",
    "DeviceAuthorization",
    "ErrorBody",
    "InvoiceCreated",
    "Matches",
    "Message",
    "MissingParcels",
    "accepted_format",
    "body_format",
)

CONTENT_TYPES: Final[Mapping[Format, str]] = {"toml": "application/toml", "json": "application/json"}

UPLOAD_OFFSET: Final = "Upload-Offset"
"""A header beyond the reference's protocol: in the answer to HEAD for a parcel that is not there, how many
of its bytes are; in a POST, from which byte on the body carries on.
"""


class ErrorBody(Document, frozen=True, kw_only=True):
    """Why a request failed."""

    error: str


class Message(Document, frozen=True, kw_only=True):
    """That a request was done."""

    message: str


class InvoiceCreated(Document, frozen=True, kw_only=True):
    """The invoice as it was stored, and the labels of what is still to be uploaded."""

    invoice: Invoice
    missing: list[Label] | None = None


class MissingParcels(msgspec.Struct, frozen=True, kw_only=True):
    """The labels of what is still to be uploaded."""

    missing: list[Label] = []


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """A page of search results; `total` of them match."""

    query: str
    strict: bool
    offset: int
    limit: int
    total: int
    more: bool
    yanked: bool
    invoices: list[Invoice] = []


class DeviceAuthorization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a server answers to a login: RFC 8628's response, and where to get the token."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: int
    interval: int
    client_id: str
    token_url: str


def accepted_format(accept: str) -> Format:
    """Return what an Accept header prefers, TOML where it does not mind."""
    best: tuple[float, Format] = (0.0, "toml")
    for item in accept.split(","):
        media_type, _, parameters = item.strip().lower().partition(";")
        form: Format = "json" if media_type.strip().rpartition("/")[2] == "json" else "toml"
        if media_type.strip().rpartition("/")[2] in {"json", "toml", "*"}:
            best = max(best, (_quality(parameters), form), key=lambda pair: pair[0])
    return best[1]


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def body_format(content_type: str, content: bytes) -> Format | None:
    """Return the format of a body by its Content-Type, or by its first byte; None for other types."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type or media_type == "application/octet-stream":
        return "json" if content.lstrip()[:1] == b"{" else "toml"
    return next((form for form, known in CONTENT_TYPES.items() if known == media_type), None)
