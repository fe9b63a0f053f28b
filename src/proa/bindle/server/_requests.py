"""Reading requests: ids, queries, documents."""

from aiohttp import web

from proa.app.threads import in_thread
from proa.bindle.errors import BindleError, InvalidInvoiceError, NotInInvoiceError
from proa.bindle.invoice import INVOICE_LIMIT, Format, Id, Invoice, parse_invoice
from proa.bindle.storage.index import MOST_RESULTS, Query
from proa.bindle.wire import accepted_format, body_format

__all__ = (
    "BadRequestError",
    "bindle_in",
    "format_for",
    "invoice_in",
    "offset_in",
    "parcel_in",
    "query_in",
    "switch",
)

_SPELLINGS = {"query": "q", "version": "v", "offset": "o", "limit": "l"}
_PARAMETERS = frozenset({"q", "v", "o", "l", "strict", "yanked"})
_LARGE = 16 * 1024


class BadRequestError(BindleError):
    """The request makes no sense; the message says what is wrong."""


def format_for(request: web.Request) -> Format:
    """Return what the client wants to read."""
    return accepted_format(request.headers.get("Accept", ""))


def bindle_in(request: web.Request) -> Id:
    """Return the id in the path.

    Raises:
        InvalidIdError: it is none.
    """
    return Id.parse(request.match_info["id"])


def parcel_in(request: web.Request) -> str:
    """Return the digest in the path.

    Raises:
        NotInInvoiceError: it is none that an invoice could name.
    """
    sha256 = request.match_info["sha256"]
    if not (sha256.isascii() and sha256.isalnum()):
        raise NotInInvoiceError(f"{sha256[:140]!r} is not a parcel's digest")
    return sha256


async def invoice_in(request: web.Request) -> Invoice:
    """Return the invoice in the body.

    Raises:
        InvalidInvoiceError: it is none.
        BadRequestError: it is neither TOML nor JSON.
    """
    if (request.content_length or 0) > INVOICE_LIMIT:
        raise InvalidInvoiceError(f"an invoice has at most {INVOICE_LIMIT} bytes")
    content = await request.read()
    form = body_format(request.headers.get("Content-Type", ""), content)
    if form is None:
        raise BadRequestError("an invoice is application/toml or application/json")
    if len(content) > _LARGE:
        return await in_thread(parse_invoice, content, form)
    return parse_invoice(content, form)


def offset_in(value: str) -> int:
    """Return a number of bytes or results.

    Raises:
        BadRequestError: it is none.
    """
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise BadRequestError(f"{value[:50]!r} is not a number")
    return int(value)


def switch(value: str) -> bool:
    """Return a parameter that is `true` or `false`.

    Raises:
        BadRequestError: it is neither.
    """
    if value not in {"true", "false"}:
        raise BadRequestError(f"{value[:50]!r} is neither true nor false")
    return value == "true"


def query_in(request: web.Request) -> Query:
    """Return the query in the parameters, in their short or long spellings.

    Raises:
        BadRequestError: a parameter is unknown, given twice, or wrong.
    """
    given: dict[str, str] = {}
    for name, value in request.query.items():
        short = _SPELLINGS.get(name, name)
        if short not in _PARAMETERS or short in given:
            known = ", ".join(sorted([*_SPELLINGS, "strict", "yanked"]))
            raise BadRequestError(f"parameter {name[:50]!r} is unknown or given twice; there are {known}")
        given[short] = value
    limit = offset_in(given.get("l", "50"))
    if not 1 <= limit <= MOST_RESULTS:
        raise BadRequestError(f"limit must lie between 1 and {MOST_RESULTS}, not {limit}")
    return Query(
        text=given.get("q", ""),
        version=given.get("v", ""),
        strict=switch(given.get("strict", "false")),
        yanked=switch(given.get("yanked", "false")),
        offset=offset_in(given.get("o", "0")),
        limit=limit,
    )
