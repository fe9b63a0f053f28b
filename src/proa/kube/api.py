"""`Api[K]`: every verb on one type of object. The verbs stand in the modules that it is put together from."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from proa.kube._bound import K
from proa.kube._entry import Entries
from proa.kube._pod_verbs import PodVerbs
from proa.kube._subresources import Subresources
from proa.kube.client import Client
from proa.kube.core.listing import Page
from proa.kube.models import Cluster, Namespaced, Unscoped

__all__ = ["Api", "Page"]

N = TypeVar("N", bound=Namespaced)
C = TypeVar("C", bound=Cluster)
U = TypeVar("U", bound=Unscoped)


class Api(Entries[K], Subresources[K], PodVerbs[K]):
    """The objects of one type: in one namespace, in all namespaces, or in the cluster.

    Giving a namespace for a cluster-scoped type is a type error. An Api over all namespaces lists and watches
    all of them; verbs on one object then need `namespace=`.

    Every verb may raise TransportError, ApiError and DecodeError, and InvalidRequestError before anything is
    sent.
    """

    @overload
    def __init__(self: Api[N], client: Client, type_: type[N], *, namespace: str | None = None) -> None: ...
    @overload
    def __init__(self: Api[C], client: Client, type_: type[C]) -> None: ...
    @overload
    def __init__(self: Api[U], client: Client, type_: type[U], *, namespace: str | None = None) -> None: ...
    def __init__(self, client: Client, type_: type[Any], *, namespace: str | None = None) -> None:
        """Bind a type to a client; nothing is sent.

        Args:
            client: what carries the requests.
            type_: a kind of `proa.kube.models`, one of your own (`proa.kube.crd`), or of
                `DynamicObject.of` or `PartialObjectMetadata.of`.
            namespace: where the objects live; None means all namespaces.
        """
        super().__init__(client, type_, namespace=namespace)

    def __repr__(self) -> str:
        inside = f" in {self.namespace}" if self.namespace else ""
        return f"<Api of {self.type.resource.qualified_name}{inside}>"
