"""A typed, asynchronous Kubernetes client.

    async with Client.from_env() as client:
        pods = Api(client, Pod, namespace="default")
        async for pod in pods.list(label_selector="app=web"):
            print(pod.metadata.name, pod.status.phase)

Parts, in the order to read them:

- `models`: every Kubernetes type, generated; quantities, durations and the like; objects of any kind.
- `api`: `Api[K]`, the verbs on one type. `client`: `Client`, which sends them. `config`: where the server is,
  and `identity`: who we are to it.
- `errors`: the one tree of exceptions. `codec`: `encode` and `decode`.
- `streams`: processes and ports of pods. `discovery`: what a server offers. `manifests` and `applying`: files
  of mixed kinds. `crd`: custom resources from types.
- `core`: requests, answers, patches, selectors, retries, watch events and channels as plain functions on
  values, without I/O.
- `transport`: the seam to the network. `testing`: a transport with scripted answers, a server with faults.

Names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.kube.api import Api, Page
    from proa.kube.client import Client
    from proa.kube.codec import decode, encode
    from proa.kube.config import Config
    from proa.kube.core.patches import Apply, Json, Merge, Patch, Strategic
    from proa.kube.core.retrying import Retry
    from proa.kube.core.selectors import Selector
    from proa.kube.core.undecodable import Undecodable
    from proa.kube.core.watching import AnyEvent, Bookmark, WatchEvent
    from proa.kube.errors import (
        AlreadyExistsError,
        ApiError,
        ConfigError,
        ConflictError,
        ConnectError,
        DecodeError,
        ForbiddenError,
        GoneError,
        InvalidError,
        InvalidRequestError,
        KubeError,
        ManifestError,
        MethodNotAllowedError,
        NotFoundError,
        RequestTimeoutError,
        TlsError,
        TooManyRequestsError,
        TransportError,
        UnauthorizedError,
        UnknownResourceError,
    )
    from proa.kube.models import DynamicObject, PartialObjectMetadata, Resource
    from proa.kube.transport import Timeouts
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "api": ("Api", "Page"),
            "client": ("Client",),
            "codec": ("decode", "encode"),
            "config": ("Config",),
            "core.patches": ("Apply", "Json", "Merge", "Patch", "Strategic"),
            "core.retrying": ("Retry",),
            "core.selectors": ("Selector",),
            "core.undecodable": ("Undecodable",),
            "core.watching": ("AnyEvent", "Bookmark", "WatchEvent"),
            "errors": (
                "AlreadyExistsError",
                "ApiError",
                "ConfigError",
                "ConflictError",
                "ConnectError",
                "DecodeError",
                "ForbiddenError",
                "GoneError",
                "InvalidError",
                "InvalidRequestError",
                "KubeError",
                "ManifestError",
                "MethodNotAllowedError",
                "NotFoundError",
                "RequestTimeoutError",
                "TlsError",
                "TooManyRequestsError",
                "TransportError",
                "UnauthorizedError",
                "UnknownResourceError",
            ),
            "models": ("DynamicObject", "PartialObjectMetadata", "Resource"),
            "transport": ("Timeouts",),
        },
    )

__all__ = [
    "AlreadyExistsError",
    "AnyEvent",
    "Api",
    "ApiError",
    "Apply",
    "Bookmark",
    "Client",
    "Config",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "DecodeError",
    "DynamicObject",
    "ForbiddenError",
    "GoneError",
    "InvalidError",
    "InvalidRequestError",
    "Json",
    "KubeError",
    "ManifestError",
    "Merge",
    "MethodNotAllowedError",
    "NotFoundError",
    "Page",
    "PartialObjectMetadata",
    "Patch",
    "RequestTimeoutError",
    "Resource",
    "Retry",
    "Selector",
    "Strategic",
    "Timeouts",
    "TlsError",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "Undecodable",
    "UnknownResourceError",
    "WatchEvent",
    "decode",
    "encode",
]
