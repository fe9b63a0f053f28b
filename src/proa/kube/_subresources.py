"""Subresources: any by name, and the ones that kinds share or have to themselves.

A verb that only one kind has is a type error on the `Api` of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from proa.kube._bound import Bound, K
from proa.kube.codec import decode
from proa.kube.core import request as requests
from proa.kube.core import subresources, writing
from proa.kube.core.patches import Merge, Patch, Strategic
from proa.kube.core.writing import WriteOptions
from proa.kube.models import Model, now

if TYPE_CHECKING:
    from proa.kube.models.apps_v1 import DaemonSet, Deployment, StatefulSet
    from proa.kube.models.authentication_v1 import TokenRequest
    from proa.kube.models.autoscaling_v1 import Scale
    from proa.kube.models.certificates_v1 import CertificateSigningRequest
    from proa.kube.models.core_v1 import Node, ServiceAccount


T = TypeVar("T", bound=Model)
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class Subresources(Bound[K]):
    """Verbs on subresources."""

    async def get_subresource(
        self, name: str, subresource: str, type_: type[T], *, namespace: str | None = None
    ) -> T:
        """Read a subresource: `status` as the Api's own type, others as the type that they are of."""
        request = requests.get(self._in(namespace), name, subresource)
        return decode((await self.client.request(request)).body, type_)

    async def create_subresource(
        self,
        name: str,
        subresource: str,
        body: object,
        *,
        dry_run: bool = False,
        namespace: str | None = None,
    ) -> bytes:
        """Post to a subresource (`binding`, `eviction`, `token`); return the answer's JSON for `decode`."""
        request = subresources.post(self._in(namespace), name, subresource, body, dry_run=dry_run)
        return (await self.client.request(request)).body

    async def replace_subresource(
        self,
        name: str,
        subresource: str,
        body: T,
        *,
        namespace: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> T:
        """Replace a subresource and return it as stored; see `Api.replace`."""
        request = writing.put(self._in(namespace), name, subresource, body, options)
        return decode((await self.client.request(request)).body, type(body))

    async def patch_subresource(
        self,
        name: str,
        subresource: str,
        patch: Patch,
        type_: type[T],
        *,
        namespace: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> T:
        """Change part of a subresource and return it as stored; see `Api.patch`."""
        request = writing.patch(self._in(namespace), name, patch, subresource, options)
        return decode((await self.client.request(request)).body, type_)

    async def get_scale(self, name: str, *, namespace: str | None = None) -> Scale:
        """Return how many replicas a workload has and shall have; works for custom resources too."""
        from proa.kube.models.autoscaling_v1 import Scale

        return await self.get_subresource(name, "scale", Scale, namespace=namespace)

    async def scale(
        self, name: str, replicas: int, *, namespace: str | None = None, **options: Unpack[WriteOptions]
    ) -> Scale:
        """Say how many replicas a workload shall have."""
        from proa.kube.models.autoscaling_v1 import Scale

        change = Merge({"spec": {"replicas": replicas}})
        return await self.patch_subresource(name, "scale", change, Scale, namespace=namespace, **options)

    @overload
    async def restart(self: Bound[Deployment], name: str, *, namespace: str | None = None) -> Deployment: ...
    @overload
    async def restart(self: Bound[DaemonSet], name: str, *, namespace: str | None = None) -> DaemonSet: ...
    @overload
    async def restart(
        self: Bound[StatefulSet], name: str, *, namespace: str | None = None
    ) -> StatefulSet: ...
    async def restart(self: Bound[Any], name: str, *, namespace: str | None = None) -> Any:
        """Have a workload make its pods anew, one after the other, as `kubectl rollout restart` does."""
        annotations = {RESTARTED_AT: now().isoformat()}
        change = Merge({"spec": {"template": {"metadata": {"annotations": annotations}}}})
        return await self._send(writing.patch(self._in(namespace), name, change))

    async def cordon(self: Bound[Node], name: str) -> Node:
        """Have no more pods placed on a node."""
        return await self._send(
            writing.patch(self._place, name, Strategic({"spec": {"unschedulable": True}}))
        )

    async def uncordon(self: Bound[Node], name: str) -> Node:
        """Let pods be placed on a node again."""
        return await self._send(
            writing.patch(self._place, name, Strategic({"spec": {"unschedulable": None}}))
        )

    async def create_token(
        self: Bound[ServiceAccount],
        name: str,
        *,
        audiences: tuple[str, ...] = (),
        expiration_seconds: int | None = None,
        namespace: str | None = None,
    ) -> TokenRequest:
        """Return a token of a service account, in `status.token`; servers give none for less than 600 s."""
        from proa.kube.models.authentication_v1 import TokenRequest, TokenRequestSpec

        wanted = TokenRequest(
            spec=TokenRequestSpec(audiences=list(audiences), expiration_seconds=expiration_seconds)
        )
        request = subresources.post(self._in(namespace), name, "token", wanted)
        return decode((await self.client.request(request)).body, TokenRequest)

    async def approve(
        self: Bound[CertificateSigningRequest], name: str, *, reason: str, message: str = ""
    ) -> CertificateSigningRequest:
        """Approve a request for a certificate; the signer then issues it. Final."""
        return await _decide(self, name, "Approved", reason, message)

    async def deny(
        self: Bound[CertificateSigningRequest], name: str, *, reason: str, message: str = ""
    ) -> CertificateSigningRequest:
        """Deny a request for a certificate. Final."""
        return await _decide(self, name, "Denied", reason, message)


async def _decide(
    api: Bound[CertificateSigningRequest],
    name: str,
    type_: Literal["Approved", "Denied"],
    reason: str,
    message: str,
) -> CertificateSigningRequest:
    from proa.kube.models.certificates_v1 import CertificateSigningRequestCondition

    found = await api._send(requests.get(api._place, name))  # noqa: SLF001 - of this class's own base
    condition = CertificateSigningRequestCondition(
        type=type_, status="True", reason=reason, message=message, last_update_time=now()
    )
    kept = [known for known in found.status.conditions if known.type != type_]
    found.status.conditions = [*kept, condition]
    # With the version read: whoever decides at the same time gets a conflict.
    return await api._send(writing.replace(api._place, found, "approval"))  # noqa: SLF001
