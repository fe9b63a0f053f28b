"""What can go wrong with a bindle, in one tree.

```
BindleError
├── InvalidIdError              the text is no bindle's name and version
├── InvalidInvoiceError         a document breaks the invoice's rules; names the field
├── InvalidVersionError         not a strict semantic version
├── UnsatisfiedGroupError       a group cannot be filled with the parcels that are left
├── KeyFileError                a keyring or a file of secret keys can't be used
├── VerificationError           an invoice does not satisfy the strategy; nothing may be trusted
│   ├── UnsignedError
│   ├── NoKnownKeyError
│   ├── InvalidSignatureError
│   └── MissingRoleError
├── DuplicateSignatureError     the key has signed this invoice already
├── ParcelMismatchError         content is not what its label says
├── StandaloneError             a directory or tarball is no standalone bindle
├── InvoiceExistsError          (409)
├── ParcelExistsError           (409)
├── InvoiceNotFoundError        (404)
├── ParcelNotFoundError         (404)
├── NotInInvoiceError           the invoice names no such parcel (400)
├── YankedError                 it is there but was yanked (403)
├── QuotaExceededError          (413, 507)
├── ReadOnlyError               a proxy or cache takes no writes (403)
└── ServerError                 a server's answer that has no class of its own
    ├── UnauthorizedError       credentials are wrong (401)
    ├── AccessDeniedError       credentials are missing or lack the right (403)
    └── ServerUnavailableError  no usable answer: the only one worth a retry
```

Each message is one line for the user. The disk's failures are `proa.app.files.StorageError`.
"""

from proa.app import ProaError

__all__ = (
    "AccessDeniedError",
    "BindleError",
    "DuplicateSignatureError",
    "InvalidIdError",
    "InvalidInvoiceError",
    "InvalidSignatureError",
    "InvalidVersionError",
    "InvoiceExistsError",
    "InvoiceNotFoundError",
    "KeyFileError",
    "MissingRoleError",
    "NoKnownKeyError",
    "NotInInvoiceError",
    "ParcelExistsError",
    "ParcelMismatchError",
    "ParcelNotFoundError",
    "QuotaExceededError",
    "ReadOnlyError",
    "ServerError",
    "ServerUnavailableError",
    "StandaloneError",
    "UnauthorizedError",
    "UnsatisfiedGroupError",
    "UnsignedError",
    "VerificationError",
    "YankedError",
)


class BindleError(ProaError):
    """Base of every error that `proa.bindle` raises."""


class InvalidIdError(BindleError):
    """The text is not NAME/VERSION; the message says which part is wrong."""


class InvalidInvoiceError(BindleError):
    """The document is not an invoice; the message names the field."""


class InvalidVersionError(BindleError):
    """The text is not a semantic version, or not a range of them."""


class UnsatisfiedGroupError(BindleError):
    """A group that is needed has no parcel left that could satisfy it."""


class KeyFileError(BindleError):
    """A keyring or a file of secret keys can't be read or written, or lacks the key that is needed."""


class VerificationError(BindleError):
    """The signatures do not satisfy the strategy."""


class UnsignedError(VerificationError):
    """Nobody has signed the invoice."""


class NoKnownKeyError(VerificationError):
    """A signature that matters was made with a key that is not in the keyring."""


class InvalidSignatureError(VerificationError):
    """A signature does not fit the invoice: something was changed, or the signature is damaged."""


class MissingRoleError(VerificationError):
    """Nobody has signed in a role that the strategy demands."""


class DuplicateSignatureError(BindleError):
    """The key has signed this invoice already, in whatever role."""


class ParcelMismatchError(BindleError):
    """Content differs from its digest or size. Nothing of it has been kept."""


class StandaloneError(BindleError):
    """A directory or tarball that should be a standalone bindle can't be used as one."""


class InvoiceExistsError(BindleError):
    """There is an invoice of this name and version; invoices never change."""


class ParcelExistsError(BindleError):
    """The parcel has been uploaded already."""


class InvoiceNotFoundError(BindleError):
    """There is no such invoice, or it was yanked and the server does not say so."""


class ParcelNotFoundError(BindleError):
    """The parcel has not been uploaded yet."""


class NotInInvoiceError(BindleError):
    """The invoice names no such parcel."""


class YankedError(BindleError):
    """The bindle was yanked: it must not be used by anyone new."""


class QuotaExceededError(BindleError):
    """The parcel is larger than what may be stored."""


class ReadOnlyError(BindleError):
    """This storage only mirrors another; write there."""


class ServerError(BindleError):
    """A server's answer. `status` is its HTTP status, 0 if there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnauthorizedError(ServerError):
    """The server does not know these credentials."""


class AccessDeniedError(ServerError):
    """The server lets nobody, or not this principal, do that."""


class ServerUnavailableError(ServerError):
    """No usable answer: connection, TLS, time-out, broken transfer, 429 or 5xx. May work later."""
