"""The certificate that all replicas of a webhook server use, in a Secret."""

from __future__ import annotations

from dataclasses import dataclass

from proa.kube import AlreadyExistsError, Api, Client, ConflictError, DecodeError
from proa.kube.models.core_v1 import Secret
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.admission._certificates import Certificate

CERTIFICATE, KEY, PREVIOUS = "tls.crt", "tls.key", "previous.crt"


@dataclass(frozen=True)
class Held:
    """A certificate, and the one before it, which some replica may still use."""

    certificate: Certificate
    previous: bytes = b""
    version: str | None = None
    """Of the Secret that it was read from."""

    @property
    def bundle(self) -> bytes:
        """What the API server is to trust."""
        return self.previous + self.certificate.certificate


class SharedCertificate:
    """A Secret of the type `kubernetes.io/tls` that the replicas read, and that one of them renews."""

    def __init__(self, client: Client, name: str, namespace: str) -> None:
        self._secrets = Api(client, Secret, namespace=namespace)
        self._name = name

    async def read(self) -> Held | None:
        """Return what is there, if it is; raises DecodeError where that is no certificate."""
        secret = await self._secrets.get_opt(self._name)
        if secret is None or not (secret.data.get(CERTIFICATE) and secret.data.get(KEY)):
            return None
        try:
            certificate = Certificate.of(secret.data[CERTIFICATE], secret.data[KEY])
        except ValueError as error:
            message = f"the Secret {self._name} holds no certificate, delete it to have one made: {error}"
            raise DecodeError(message) from error
        return Held(certificate, secret.data.get(PREVIOUS, b""), secret.metadata.resource_version)

    async def offer(self, fresh: Certificate, before: Held | None) -> Held:
        """Put a certificate in place of the one before, or return the one that another replica has put."""
        data = {CERTIFICATE: fresh.certificate, KEY: fresh.key}
        if before is not None:
            data[PREVIOUS] = before.certificate.certificate
        metadata = ObjectMeta(name=self._name, resource_version=before.version if before else None)
        secret = Secret(metadata=metadata, type="kubernetes.io/tls", data=data)
        try:
            if before is None:
                await self._secrets.create(secret)
            else:
                await self._secrets.replace(secret)
        except (AlreadyExistsError, ConflictError):
            pass  # another was faster
        found = await self.read()
        return found or Held(fresh)
