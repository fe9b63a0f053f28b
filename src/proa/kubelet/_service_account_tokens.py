"""Tokens by which a guest can speak to the API server as its pod's service account.

Real API servers give every pod a volume with one. The token is asked for once, when the volume is made: it is
bound to the pod and good for as long as the server grants.
"""

from proa import kube
from proa.kube import Api, Client
from proa.kube.models.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from proa.kube.models.core_v1 import ServiceAccount, ServiceAccountTokenProjection, Volume
from proa.kubelet._fields import PodFields
from proa.kubelet._volume_files import File, inside

_MODE = 0o600


async def files(client: Client, volume: Volume, fields: PodFields) -> list[File]:
    """The tokens that a projected volume asks for.

    Raises:
        proa.kube.KubeError: The API server is away or refuses.
        proa.kubelet.errors.VolumeError: A path leads out of the volume.
    """
    projected = (
        [source.service_account_token for source in volume.projected.sources] if volume.projected else []
    )
    return [await _file(client, source, fields) for source in projected if source is not None]


async def _file(client: Client, source: ServiceAccountTokenProjection, fields: PodFields) -> File:
    metadata = fields.pod.metadata
    bound = BoundObjectReference(api_version="v1", kind="Pod", name=metadata.name, uid=metadata.uid)
    request = TokenRequest(
        spec=TokenRequestSpec(
            audiences=[source.audience] if source.audience else [],
            bound_object_ref=bound,
            expiration_seconds=source.expiration_seconds,
        )
    )
    accounts = Api(client, ServiceAccount, namespace=fields.namespace)
    account = fields.pod.spec.service_account_name or "default"
    answer = kube.decode(await accounts.create_subresource(account, "token", request), TokenRequest)
    return File(inside(source.path), (answer.status.token or "").encode(), _MODE)
