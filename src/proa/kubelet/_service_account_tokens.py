"""Tokens by which a guest can speak to the API server as its pod's service account.

Real API servers give every pod a volume with one. It is bound to the pod and good for as long as the server
grants; it is renewed, as Kubernetes does, when a fifth of that time is left or after a day.
"""

from datetime import datetime, timedelta
from typing import Final

from proa import kube
from proa.kube import Api, Client
from proa.kube.models import now
from proa.kube.models.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from proa.kube.models.core_v1 import ServiceAccount, ServiceAccountTokenProjection, Volume
from proa.kubelet._fields import PodFields
from proa.kubelet._volume_files import File, inside

_MODE: Final = 0o600
_LONGEST: Final = timedelta(hours=24)


class Tokens:
    """The tokens of one pod, kept until each must be renewed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[tuple[str | None, int | None], tuple[bytes, datetime]] = {}

    @property
    def due(self) -> datetime | None:
        """When the first of them must be renewed; None without any."""
        return min((due for _, due in self._kept.values()), default=None)

    async def files(self, volume: Volume, fields: PodFields) -> list[File]:
        """The tokens that a projected volume asks for.

        Raises:
            proa.kube.KubeError: The API server is away or refuses.
            proa.kubelet.errors.VolumeError: A path leads out of the volume.
        """
        sources = volume.projected.sources if volume.projected else []
        projected = [source.service_account_token for source in sources if source.service_account_token]
        return [File(inside(one.path), await self._token(one, fields), _MODE) for one in projected]

    async def _token(self, source: ServiceAccountTokenProjection, fields: PodFields) -> bytes:
        key = source.audience, source.expiration_seconds
        token, due = self._kept.get(key, (b"", now()))
        if due <= now():
            token, due = self._kept[key] = await self._ask(source, fields)
        return token

    async def _ask(self, source: ServiceAccountTokenProjection, fields: PodFields) -> tuple[bytes, datetime]:
        accounts = Api(self._client, ServiceAccount, namespace=fields.namespace)
        account = fields.pod.spec.service_account_name or "default"
        answer = await accounts.create_subresource(account, "token", _request(source, fields))
        status = kube.decode(answer, TokenRequest).status
        return (status.token or "").encode(), renewal(now(), status.expiration_timestamp or now() + _LONGEST)


def renewal(begin: datetime, end: datetime) -> datetime:
    """When to ask for another token, for one that is good from begin to end. Pure."""
    return begin + min((end - begin) * 0.8, _LONGEST)


def _request(source: ServiceAccountTokenProjection, fields: PodFields) -> TokenRequest:
    metadata = fields.pod.metadata
    bound = BoundObjectReference(api_version="v1", kind="Pod", name=metadata.name, uid=metadata.uid)
    return TokenRequest(
        spec=TokenRequestSpec(
            audiences=[source.audience] if source.audience else [],
            bound_object_ref=bound,
            expiration_seconds=source.expiration_seconds,
        )
    )
