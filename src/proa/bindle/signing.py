"""Signing invoices and judging their signatures. Pure: time and keys come from the caller.

What is signed is text: signer, name, version, role, `~`, and the digest of each parcel in the invoice's
order, joined by newlines. The specification has the time in it, too; the reference implementation does not,
and neither do the signatures that exist.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

import msgspec

from proa.bindle.errors import (
    BindleError,
    DuplicateSignatureError,
    InvalidSignatureError,
    MissingRoleError,
    NoKnownKeyError,
    UnsignedError,
)
from proa.bindle.invoice import YANKED_REASON, Invoice, Role, Signature
from proa.bindle.keys import Keyring, SecretKey, from_base64, verify

__all__ = (
    "SignatureReport",
    "Strategy",
    "sign",
    "sign_yank",
    "signature_reports",
    "signed_bytes",
    "yanked_bytes",
)

StrategyName: TypeAlias = Literal[
    "CreativeIntegrity",
    "AuthoritativeIntegrity",
    "GreedyVerification",
    "ExhaustiveVerification",
    "MultipleAttestation",
    "MultipleAttestationGreedy",
]
_NAMES: Final = {name.lower(): name for name in get_args(StrategyName)}
_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_CREATOR: Final[tuple[Role, ...]] = ("creator",)
_INITIALS: Final = {role[0]: role for role in _ROLES}


def parse_role(text: str) -> Role:
    """Read a role: its name or its first letter, in any case.

    Raises:
        BindleError: there is no such role.
    """
    lowered = text.strip().lower()
    role = _INITIALS.get(lowered, lowered)
    if role not in _ROLES:
        raise BindleError(f"{text[:50]!r} is not a role: expected {', '.join(_ROLES)}")
    return role


def signed_bytes(invoice: Invoice, by: str, role: Role) -> bytes:
    """Return what a signature covers."""
    digests = (parcel.label.sha256 for parcel in invoice.parcels or [])
    return "\n".join((by, invoice.bindle.name, invoice.bindle.version, role, "~", *digests)).encode()


def yanked_bytes(invoice: Invoice, by: str, at: int) -> bytes:
    """Return what the signature of a yank covers, by the specification: the time and the reason, too."""
    bindle, reason = invoice.bindle, invoice.yanked_reason or ""
    return "\n".join((by, bindle.name, bindle.version, "host", str(at), "yanked", "~", reason)).encode()


def sign(invoice: Invoice, key: SecretKey, role: Role, at: int) -> Invoice:
    """Return the invoice with one more signature.

    Args:
        invoice: what to sign.
        key: who signs.
        role: as what; the key must be for it.
        at: Unix time in seconds.

    Raises:
        DuplicateSignatureError: the key has signed it already, in whatever role.
        BindleError: the key is not for that role.
    """
    if role not in key.roles:
        raise BindleError(f"the key {key.label!r} may not sign as {role}, only as {', '.join(key.roles)}")
    public = key.public().key
    if has_signed(invoice, public):
        raise DuplicateSignatureError(f"{invoice.id} is signed by the key {key.label!r} already")
    signature = Signature(
        by=key.label,
        signature=key.sign(signed_bytes(invoice, key.label, role)),
        key=public,
        role=role,
        at=at,
    )
    return msgspec.structs.replace(invoice, signatures=[*(invoice.signatures or []), signature])


def has_signed(invoice: Invoice, key: str) -> bool:
    """Whether the invoice has a signature of that public key (base64), whatever it is worth."""
    return any(signature.key == key for signature in invoice.signatures or [])


def sign_yank(invoice: Invoice, key: SecretKey, at: int, reason: str = "") -> Invoice:
    """Return the invoice yanked, with the reason, signed by a host's key."""
    annotations = {**(invoice.annotations or {}), **({YANKED_REASON: reason} if reason else {})}
    yanked = msgspec.structs.replace(invoice, yanked=True, annotations=annotations or invoice.annotations)
    signature = Signature(
        by=key.label,
        signature=key.sign(yanked_bytes(yanked, key.label, at)),
        key=key.public().key,
        role="host",
        at=at,
    )
    return msgspec.structs.replace(yanked, yanked_signatures=[*(invoice.yanked_signatures or []), signature])


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """What one signature is worth.

    Attributes:
        signature: as the invoice has it.
        valid: it fits the invoice and the key that it names.
        known_as: the keyring's label of the key; None where the key is not there.
        yank: it is a signature of the yank, not of the invoice.
    """

    signature: Signature
    valid: bool
    known_as: str | None
    yank: bool = False

    @property
    def trusted(self) -> bool:
        """Valid, and by somebody known."""
        return self.valid and self.known_as is not None


def signature_reports(invoice: Invoice, keyring: Keyring) -> list[SignatureReport]:
    """Judge each signature, and those of the yank, by themselves. Never raises."""
    plain = [_report(s, signed_bytes(invoice, s.by, s.role), keyring) for s in invoice.signatures or []]
    yanks = [
        _report(s, yanked_bytes(invoice, s.by, s.at), keyring, yank=True)
        for s in invoice.yanked_signatures or []
    ]
    return plain + yanks


def _report(signature: Signature, message: bytes, keyring: Keyring, *, yank: bool = False) -> SignatureReport:
    content, key = from_base64(signature.signature, 64), from_base64(signature.key, 32)
    valid = content is not None and key is not None and verify(key, content, message)
    entry = keyring.find(signature.key)
    return SignatureReport(signature, valid, entry.label if entry else None, yank)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How much of an invoice's signatures must be right.

    | strategy | signatures that must be valid | keys that must be known | roles that must be there |
    |---|---|---|---|
    | CreativeIntegrity | creators' | all of these | creator |
    | AuthoritativeIntegrity | creators' and approvers' | at least one of these | |
    | GreedyVerification | all | all | creator |
    | ExhaustiveVerification | all | all | |
    | MultipleAttestation[R, …] | those in R | all of these | each of R |
    | MultipleAttestationGreedy[R, …] | all | all | each of R |

    Attributes:
        name: which.
        roles: R; empty for the first four.
    """

    name: StrategyName = "GreedyVerification"
    roles: tuple[Role, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Strategy":
        """Read a strategy in any case: `GreedyVerification`, `MultipleAttestation[Creator, Host]`.

        Raises:
            BindleError: there is no such strategy, or its roles are missing or too many.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[([^\]]*)\])?\s*", text)
        name = _NAMES.get(match[1].lower()) if match else None
        if match is None or name is None:
            raise BindleError(
                f"{text[:80]!r} is not a strategy: expected one of {', '.join(_NAMES.values())}"
            )
        roles = tuple(parse_role(role) for role in (match[2] or "").split(",") if role.strip())
        multiple = name.startswith("Multiple")
        if multiple is not bool(roles):
            example = f"{name}[Creator, Host]" if multiple else name
            raise BindleError(f"strategy {text[:80]!r}: expected {example}")
        return cls(cast("StrategyName", name), roles)

    def __str__(self) -> str:
        return self.name + (f"[{', '.join(role.capitalize() for role in self.roles)}]" if self.roles else "")

    def verify(self, invoice: Invoice, keyring: Keyring) -> None:
        """Check that the invoice can be trusted.

        Raises:
            UnsignedError: it has no signature.
            InvalidSignatureError: one that counts does not fit.
            NoKnownKeyError: one that counts is by somebody unknown.
            MissingRoleError: nobody signed in a role that must be there.
        """
        if not invoice.signatures:
            raise UnsignedError(f"{invoice.id} is not signed, and {self} demands signatures")
        counted = self._counted_roles
        reports = [
            r for r in signature_reports(invoice, keyring) if not r.yank and r.signature.role in counted
        ]
        for report in reports:
            if not report.valid:
                who = f"{report.signature.by!r} as {report.signature.role}"
                raise InvalidSignatureError(f"{invoice.id}: the signature of {who} does not fit the invoice")
        self._check_known(invoice, reports)
        present = {report.signature.role for report in reports}
        if missing := [role for role in self._demanded_roles if role not in present]:
            raise MissingRoleError(f"{invoice.id}: nobody has signed as {' or '.join(missing)}")

    def _check_known(self, invoice: Invoice, reports: list[SignatureReport]) -> None:
        unknown = [report.signature.by for report in reports if report.known_as is None]
        one_is_enough = self.name == "AuthoritativeIntegrity"
        if len(unknown) == len(reports) if one_is_enough else unknown:
            named = ", ".join(sorted({repr(by) for by in unknown})) or "nobody in these roles"
            raise NoKnownKeyError(f"{invoice.id}: signed by {named}, whose key is not in the keyring")

    @property
    def _counted_roles(self) -> Collection[Role]:
        match self.name:
            case "CreativeIntegrity":
                return _CREATOR
            case "AuthoritativeIntegrity":
                return ("creator", "approver")
            case "MultipleAttestation":
                return self.roles
            case _:
                return _ROLES

    @property
    def _demanded_roles(self) -> Collection[Role]:
        if self.name in {"CreativeIntegrity", "GreedyVerification"}:
            return _CREATOR
        return self.roles
