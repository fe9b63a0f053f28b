"""Invoices: what a bindle is made of, as values. Pure.

An invoice names its parcels by digest, sorts them into groups and carries signatures. TOML and JSON hold the
same tables; unknown keys are refused at every level, as the reference implementation does. `None` means that
a key is absent, so that what was read is written again as it was.

Facts come from Bindle's invoice specification and, where that differs, from what its reference server and
client do.
"""

import hashlib
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
import tomli_w

from proa.bindle.errors import InvalidIdError, InvalidInvoiceError, InvalidVersionError
from proa.bindle.version import Version

__all__ = (
    "INVOICE_LIMIT",
    "Bindle",
    "Conditions",
    "Document",
    "Format",
    "Group",
    "Id",
    "Invoice",
    "Label",
    "Parcel",
    "Role",
    "Signature",
    "decode",
    "encode",
    "is_digest",
    "parse_invoice",
)

INVOICE_LIMIT: Final = 4 * 1024 * 1024
"""Largest invoice in bytes that is read."""

YANKED_REASON: Final = "bindle.dev/yanked-reason"
"""The annotation that holds why an invoice was yanked.

The specification has a key of its own for it, which the reference implementation refuses; an annotation
passes everywhere.
"""

Format: TypeAlias = Literal["toml", "json"]
Role: TypeAlias = Literal["creator", "approver", "host", "proxy"]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# It becomes part of a path. The reference lets anything pass; its own fixtures have 40 digits.
Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z]{1,128}\Z")]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SEGMENT: Final = re.compile(r"[\w.+~-]+")
_LONGEST_NAME: Final = 1024
# tomllib takes quadratic time for a dotted key: 40 KB of "a.a.a…" keep it busy for seconds. So that looking
# for one takes linear time, strings and comments, closed or not, are taken out first.
_STRINGS: Final = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)|"(?:[^"\\\n]|\\.)*+"?|#[^\n]*+|'''
    r"""'''(?:[^']|'(?!''))*+(?:'''|\Z)|'[^'\n]*+'?""",
    re.DOTALL,
)
_ENDLESS_KEY: Final = re.compile(r'(?<![\w"-])(?:[\w"-]++[ \t]*+\.[ \t]*+){32}', re.ASCII)

T = TypeVar("T")


class Document(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """What all tables share: camelCase on the wire, absent keys left out, unknown ones refused."""


@dataclass(frozen=True, slots=True, order=True)
class Id:
    """A bindle's name and version. Once made by `parse` or taken from an `Invoice`, both are valid."""

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "Id":
        """Read `NAME/VERSION`, with or without `bindle:` before it.

        Raises:
            InvalidIdError: the name or the version is wrong; says how.
        """
        name, slash, version = text.removeprefix("bindle:").rpartition("/")
        if not slash:
            raise InvalidIdError(f"{text[:200]!r} is not a bindle's id: expected NAME/VERSION")
        check_name(name)
        try:
            Version.parse(version)
        except InvalidVersionError as error:
            raise InvalidIdError(f"{text[:200]!r} is not a bindle's id: {error}") from None
        return cls(name, version)

    @property
    def sha256(self) -> str:
        """The key under which storages keep the invoice: hex, of the sha256 of `NAME/VERSION`."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def check_name(name: str) -> str:
    """Return a bindle's name if it is valid.

    Letters and digits of any script, `_ . + ~ -`, in parts separated by `/`; no part is empty or all dots.

    Raises:
        InvalidIdError: it is not.
    """
    if len(name) > _LONGEST_NAME or unicodedata.normalize("NFC", name) != name:
        raise InvalidIdError(f"{name[:100]!r} is too long for a bindle's name, or not in Unicode's form NFC")
    for part in name.split("/"):
        if not _SEGMENT.fullmatch(part) or not part.strip("."):
            raise InvalidIdError(
                f"{name[:200]!r} is not a bindle's name: each part between slashes must be letters, "
                "digits or _ . + ~ -"
            )
    return name


def is_digest(text: str) -> bool:
    """Whether the text is a sha256 in lower-case hex: what a parcel must have to be stored."""
    return _DIGEST.fullmatch(text) is not None


class Bindle(Document, frozen=True, kw_only=True):
    """The `[bindle]` table: what it is called."""

    name: str
    version: str
    description: str | None = None
    authors: list[str] | None = None

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
            Version.parse(self.version)
        except (InvalidIdError, InvalidVersionError) as error:
            raise ValueError(str(error)) from None


class Label(Document, frozen=True, kw_only=True):
    """What a parcel is.

    Attributes:
        sha256: of its content. The only thing that identifies it.
        media_type: of its content.
        name: what it is called, often a relative path. Not safe to use as one: see `proa.bindle.export`.
        size: in bytes.
        feature: section, then key, to value; see `proa.bindle.filter`.
    """

    sha256: Digest
    media_type: str
    name: str
    size: Size
    annotations: dict[str, str] | None = None
    feature: dict[str, dict[str, str]] | None = None
    origin: str | None = None


class Conditions(Document, frozen=True, kw_only=True):
    """Which groups a parcel belongs to, and which it needs."""

    member_of: list[str] | None = None
    requires: list[str] | None = None


class Parcel(Document, frozen=True, kw_only=True):
    """A `[[parcel]]` table."""

    label: Label
    conditions: Conditions | None = None

    @property
    def groups(self) -> list[str]:
        """The groups that it belongs to; none: the global group, which is always needed."""
        return (self.conditions.member_of or []) if self.conditions else []

    @property
    def requires(self) -> list[str]:
        """The groups that it needs."""
        return (self.conditions.requires or []) if self.conditions else []


class Group(Document, frozen=True, kw_only=True):
    """A `[[group]]` table.

    Attributes:
        required: whether it is needed without anybody asking for it.
        satisfied_by: `allOf` (the default), `oneOf`, or `optional` alias `anyOf`.
    """

    name: str
    required: bool | None = None
    satisfied_by: str | None = None


class Signature(Document, frozen=True, kw_only=True):
    """Who vouches for an invoice, as what, when.

    Attributes:
        by: the signer's label.
        signature: base64 of 64 bytes.
        key: base64 of the Ed25519 public key.
        at: Unix time in seconds; not covered by the signature.
    """

    by: str
    signature: str
    key: str
    role: Role
    at: Size


class Invoice(Document, frozen=True, kw_only=True):
    """A bindle's invoice. Reading one checks names, versions, digests and sizes."""

    bindle_version: str = msgspec.field(name="bindleVersion")
    yanked: bool | None = None
    yanked_signatures: list[Signature] | None = msgspec.field(name="yankedSignature", default=None)
    bindle: Bindle
    annotations: dict[str, str] | None = None
    parcels: list[Parcel] | None = msgspec.field(name="parcel", default=None)
    groups: list[Group] | None = msgspec.field(name="group", default=None)
    signatures: list[Signature] | None = msgspec.field(name="signature", default=None)

    @property
    def id(self) -> Id:
        """Name and version."""
        return Id(self.bindle.name, self.bindle.version)

    @property
    def labels(self) -> list[Label]:
        """The labels of its parcels, in order, each digest once."""
        seen: dict[str, Label] = {}
        for parcel in self.parcels or []:
            seen.setdefault(parcel.label.sha256, parcel.label)
        return list(seen.values())

    @property
    def yanked_reason(self) -> str | None:
        """Why it was yanked, where somebody said so."""
        return (self.annotations or {}).get(YANKED_REASON)

    def label(self, sha256: str) -> Label | None:
        """Return the label of the parcel of that digest."""
        return next((p.label for p in self.parcels or [] if p.label.sha256 == sha256), None)


def parse_invoice(content: bytes, form: Format = "toml") -> Invoice:
    """Read an invoice.

    The specification's `yanked_signature` and `yanked_reason` are read, too.

    Raises:
        InvalidInvoiceError: not such a document; names the field.
    """
    if len(content) > INVOICE_LIMIT:
        raise InvalidInvoiceError(f"an invoice of {len(content)} bytes is over the limit of {INVOICE_LIMIT}")
    return _convert(_as_implemented(_tables(content, form)), Invoice)


def decode(content: bytes, form: Format, kind: type[T]) -> T:
    """Read a document of another kind.

    Raises:
        InvalidInvoiceError: not such a document; names the field.
    """
    return _convert(_tables(content, form), kind)


def encode(document: msgspec.Struct, form: Format = "toml") -> bytes:
    """Write an invoice or another document."""
    if form == "json":
        return msgspec.json.encode(document)
    return tomli_w.dumps(msgspec.to_builtins(document)).encode()


def _tables(content: bytes, form: Format) -> object:
    try:
        if form == "json":
            return msgspec.json.decode(content)
        text = content.decode()
        if _ENDLESS_KEY.search(_STRINGS.sub('"', text)):
            raise InvalidInvoiceError("it is not TOML that is read here: a dotted key has more than 32 parts")
        return tomllib.loads(text)
    except UnicodeDecodeError:
        raise InvalidInvoiceError("it is not UTF-8 text") from None
    except RecursionError:
        raise InvalidInvoiceError(f"it is not {form.upper()} that can be read: nested too deeply") from None
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise InvalidInvoiceError(f"it is not {form.upper()}: {_printable(str(error))}") from None


def _convert(tables: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(tables, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInvoiceError(_explained(str(error))) from None


def _explained(message: str) -> str:
    """Say `parcel[0].label.size: …` instead of `… - at `$.parcel[0].label.size``."""
    problem, _, where = message.partition(" - at `$")
    where = where.rstrip("`").lstrip(".")
    return _printable(f"{where}: {problem}" if where else problem)


def _printable(message: str) -> str:
    """Make a message one line that no terminal takes for commands: it quotes what somebody else wrote."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message[:500])


def _as_implemented(tables: object) -> object:
    if not isinstance(tables, dict):
        return tables
    tables = dict(tables)
    if "yanked_signature" in tables:
        tables.setdefault("yankedSignature", tables.pop("yanked_signature"))
    for spelling in ("yanked_reason", "yankedReason"):
        if isinstance(reason := tables.get(spelling), str):
            del tables[spelling]
            _annotate(tables, reason)
    return tables


def _annotate(tables: dict[str, Any], reason: str) -> None:
    annotations = tables.get("annotations") or {}
    if isinstance(annotations, dict):
        tables["annotations"] = annotations | {YANKED_REASON: reason}
