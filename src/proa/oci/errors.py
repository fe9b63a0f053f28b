"""What can go wrong with an image, in one tree.

```
OciError
├── InvalidReferenceError      the user's text is no image reference
├── InvalidDigestError         the text is no digest that this package can check
├── InvalidManifestError       a registry's manifest breaks the specification
├── InvalidCredentialsError    a Docker configuration that can't be read
├── UnsignedImageError         no signature by a key that is trusted
├── UnsupportedArtifactError   a valid image without a WebAssembly module in it
├── NotWasmError               a file that should be a WebAssembly module and is none
├── DigestMismatchError        content is not what its digest or size says
├── StorageError               the disk: not writable, full, not a directory, in use
└── RegistryError              a registry's answer
    ├── ManifestNotFoundError
    ├── BlobNotFoundError
    ├── UnauthorizedError
    └── RegistryUnavailableError   no usable answer: the only one worth a retry
```

Each message is one line for the user. Only `RegistryUnavailableError` is transient by nature: retry it with a
back-off; a `DigestMismatchError` may be retried by hand, since a proxy on the way may have broken the bytes.
"""

from proa.app import ProaError, files

__all__ = (
    "BlobNotFoundError",
    "DigestMismatchError",
    "InvalidCredentialsError",
    "InvalidDigestError",
    "InvalidManifestError",
    "InvalidReferenceError",
    "ManifestNotFoundError",
    "NotWasmError",
    "OciError",
    "RegistryError",
    "RegistryUnavailableError",
    "StorageError",
    "UnauthorizedError",
    "UnsignedImageError",
    "UnsupportedArtifactError",
)


class OciError(ProaError):
    """Base of every error that `proa.oci` raises."""


class InvalidReferenceError(OciError):
    """The text is not an image reference; the message says which part is wrong."""


class InvalidDigestError(OciError):
    """The text is not a sha256 or sha512 digest."""


class InvalidManifestError(OciError):
    """A manifest is not valid JSON, breaks the image specification, or is larger than allowed."""


class InvalidCredentialsError(OciError):
    """A Docker configuration can't be read."""


class UnsupportedArtifactError(OciError):
    """The image exists but holds no WebAssembly module; the message names what it holds."""


class UnsignedImageError(OciError):
    """The image has no signature by one of the keys that are trusted."""


class NotWasmError(OciError):
    """The file is not a WebAssembly module or component."""


class DigestMismatchError(OciError):
    """Content differs from its digest or size. Nothing of it has been kept."""


class StorageError(OciError, files.StorageError):
    """The disk refused: not writable, full, not a directory, or in use by another process."""


class RegistryError(OciError):
    """A registry answered with an error that has no class of its own."""


class ManifestNotFoundError(RegistryError):
    """The registry has no such repository, tag or manifest."""


class BlobNotFoundError(RegistryError):
    """The registry has no such blob in this repository."""


class UnauthorizedError(RegistryError):
    """The registry wants other credentials, or any at all."""


class RegistryUnavailableError(RegistryError):
    """No usable answer: DNS, connection, TLS, time-out, broken transfer, 429 or 5xx. May work later."""
