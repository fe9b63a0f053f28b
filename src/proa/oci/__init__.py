"""OCI distribution: pull and push WebAssembly modules as images, and serve them from a registry of your own.

Parts, from plain values to servers:

- `proa.oci.reference`, `proa.oci.digest`, `proa.oci.manifest`: what images are called and made of; pure.
- `proa.oci.store`: `BlobStore`, content by digest in a directory.
- `proa.oci.credentials`, `proa.oci.docker_config`, `proa.oci.client`: `RegistryClient`, which speaks to any
  registry.
- `proa.oci.wasm`: modules as artifacts: `push_module`, `pull_module`, `find_module`.
- `proa.oci.signatures`: which images are signed.
- `proa.oci.registry`: `Registry`, a small server on loopback.
- `proa.oci.testing`: a registry for tests, with faults at will.

Start reading at `proa.oci.wasm`. Specifications: OCI image and distribution 1.1, the CNCF's Wasm OCI artifact
layout.

Names are loaded when they are first used, so importing this package costs next to nothing.

Usage::

    async with RegistryClient() as client:
        await push_module(client, Path("hello.wasm"), Reference.parse("localhost:5050/hello:1"))
        module = await pull_module(client, Reference.parse("localhost:5050/hello:1"),
        BlobStore(Path("cache")))
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.oci.client import RegistryClient
    from proa.oci.credentials import Credentials, parse_docker_config
    from proa.oci.docker_config import DockerConfig
    from proa.oci.errors import (
        BlobNotFoundError,
        DigestMismatchError,
        InvalidCredentialsError,
        InvalidDigestError,
        InvalidManifestError,
        InvalidReferenceError,
        ManifestNotFoundError,
        NotWasmError,
        OciError,
        RegistryError,
        RegistryUnavailableError,
        StorageError,
        UnauthorizedError,
        UnsignedImageError,
        UnsupportedArtifactError,
    )
    from proa.oci.reference import Reference
    from proa.oci.registry import Registry
    from proa.oci.signatures import SignaturePolicy
    from proa.oci.store import BlobStore
    from proa.oci.wasm import PulledModule, WasmConfig, find_module, image_blobs, pull_module, push_module
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "client": ("RegistryClient",),
            "credentials": ("Credentials", "parse_docker_config"),
            "docker_config": ("DockerConfig",),
            "errors": (
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
            ),
            "reference": ("Reference",),
            "registry": ("Registry",),
            "signatures": ("SignaturePolicy",),
            "store": ("BlobStore",),
            "wasm": (
                "PulledModule",
                "WasmConfig",
                "find_module",
                "image_blobs",
                "pull_module",
                "push_module",
            ),
        },
    )

__all__ = [
    "BlobNotFoundError",
    "BlobStore",
    "Credentials",
    "DigestMismatchError",
    "DockerConfig",
    "InvalidCredentialsError",
    "InvalidDigestError",
    "InvalidManifestError",
    "InvalidReferenceError",
    "ManifestNotFoundError",
    "NotWasmError",
    "OciError",
    "PulledModule",
    "Reference",
    "Registry",
    "RegistryClient",
    "RegistryError",
    "RegistryUnavailableError",
    "SignaturePolicy",
    "StorageError",
    "UnauthorizedError",
    "UnsignedImageError",
    "UnsupportedArtifactError",
    "WasmConfig",
    "find_module",
    "image_blobs",
    "parse_docker_config",
    "pull_module",
    "push_module",
]
