"""The node's certificates by requests to the API server (CertificateSigningRequest): the first, and renewals.

That is Kubernetes' TLS bootstrap: with a bootstrap token a node asks for its client certificate, and with
that for its serving certificate; both are renewed by themselves before they end. A certificate and its key
lie in one file. Whether a request is approved is for the cluster to say, or for a person.
"""

import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import AlreadyExistsError, Api, Client, Config, KubeError, WatchEvent
from proa.kube.models.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet._certificates import key_pem, write_private
from proa.kubelet._settings import KubeletSettings
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)
_RETRY: Final = Backoff(initial=1.0, maximum=300.0, jitter=0.3)
_RENEW_FROM, _RENEW_TO = 0.7, 0.9


class CertificateRefusedError(KubeletError):
    """The cluster has denied a certificate request, or could not sign it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A certificate that the node wants.

    Attributes:
        file: Where it is kept, with its key.
        node: The node's name.
        signer: Who signs it, by Kubernetes' name.
        usages: What it is for.
        hosts: Addresses and names that it is to hold.
    """

    file: Path
    node: str
    signer: str
    usages: tuple[str, ...]
    hosts: tuple[str, ...] = ()

    @classmethod
    def client(cls, directory: Path, node: str) -> "Wanted":
        """To show who the node is."""
        return cls(
            file=directory / "kubelet-client.pem",
            node=node,
            signer="kubernetes.io/kube-apiserver-client-kubelet",
            usages=("digital signature", "client auth"),
        )

    @classmethod
    def serving(cls, directory: Path, node: str, address: str) -> "Wanted":
        """For the kubelet's server."""
        return cls(
            file=directory / "kubelet-server.pem",
            node=node,
            signer="kubernetes.io/kubelet-serving",
            usages=("digital signature", "server auth"),
            hosts=(node, address),
        )


async def join(settings: KubeletSettings) -> Config:
    """Say how the API server is reached, getting the node a client certificate first if it has none.

    A kubeconfig that is there is all that is needed. Else a bootstrap token, or a kubeconfig that holds one,
    is enough to ask for a certificate; waits for it as long as it takes.

    Raises:
        proa.kube.ConfigError: A kubeconfig cannot be used, or there is none.
        CertificateRefusedError: The cluster says no.
    """
    if (known := await asyncio.to_thread(_known_config, settings)) is not None:
        return known
    bootstrap = await asyncio.to_thread(_bootstrap_config, settings)
    wanted = Wanted.client(settings.data_dir / "pki", settings.name)
    if await asyncio.to_thread(seconds_left, wanted.file) <= 0:
        async with Client(bootstrap, user_agent="proa-kubelet") as client:
            await obtain(client, wanted)
    return Config(
        server=bootstrap.server, ca_data=bootstrap.ca_data, client_certificate_file=wanted.file,
        tls_server_name=bootstrap.tls_server_name, proxy_url=bootstrap.proxy_url,
    )  # fmt: skip


def _known_config(settings: KubeletSettings) -> Config | None:
    path = settings.kubeconfig
    if settings.bootstraps and not (path and path.exists()):
        return None
    return Config.from_env() if path is None else Config.from_kubeconfig(path)


def _bootstrap_config(settings: KubeletSettings) -> Config:
    if settings.bootstrap_kubeconfig is not None:
        return Config.from_kubeconfig(settings.bootstrap_kubeconfig)
    token, authority = settings.bootstrap_token, settings.certificate_authority
    return Config(
        server=settings.server,
        ca_data=authority.read_bytes() if authority else None,
        token=token.reveal() if token else None,
    )


async def keep(client: Client, wanted: Wanted, changed: Callable[[], None] = lambda: None) -> None:
    """Have a certificate and renew it in time, for ever; what fails is tried again.

    Args:
        client: The API server.
        wanted: The certificate.
        changed: Called when there is a new one in the file.
    """
    backoff = _RETRY.start()
    while True:
        await asyncio.sleep(await asyncio.to_thread(seconds_until_renewal, wanted.file))
        try:
            await obtain(client, wanted)
            changed()
            backoff.reset()
        except (KubeError, KubeletError, OSError) as error:
            _log.warning("cannot get a certificate yet", file=str(wanted.file), error=str(error))
            await asyncio.sleep(backoff.next())


async def obtain(client: Client, wanted: Wanted) -> None:
    """Ask for a certificate until there is one, and put it with its key in its file.

    The key is kept meanwhile: a kubelet that starts anew goes on waiting for the same request.

    Raises:
        CertificateRefusedError: It was denied, or could not be signed.
        proa.kube.KubeError: The API server refuses the request itself.
    """
    key = await asyncio.to_thread(_pending_key, wanted.file)
    requests = Api(client, CertificateSigningRequest)
    request = _request(wanted, key)
    with contextlib.suppress(AlreadyExistsError):
        await requests.create(request)
    name = request.metadata.name or ""
    try:
        certificate = await _issued(requests, name)
    except CertificateRefusedError:
        await asyncio.to_thread(_pending(wanted.file).unlink, missing_ok=True)
        raise
    await asyncio.to_thread(_install, wanted.file, certificate, key)
    _log.info("the node has a new certificate", file=str(wanted.file), request=name)


async def _issued(requests: Api[CertificateSigningRequest], name: str) -> bytes:
    told = False
    while True:
        found = await requests.get(name)
        certificate = _judge(found)
        if certificate is not None:
            return certificate
        if not told and not found.status.conditions:
            _log.info("waiting for approval", command=f"kubectl certificate approve {name}")
            told = True
        watch = requests.watch(found.metadata.resource_version or "", field_selector=f"metadata.name={name}")
        async with aclosing(watch) as events:
            async for event in events:
                if isinstance(event, WatchEvent) and (certificate := _judge(event.object)) is not None:
                    return certificate


def _judge(request: CertificateSigningRequest) -> bytes | None:
    for condition in request.status.conditions:
        if condition.type in {"Denied", "Failed"}:
            name, why = request.metadata.name, condition.message or condition.reason or ""
            raise CertificateRefusedError(f"the request {name} for a certificate is {condition.type}: {why}")
    return request.status.certificate


def _request(wanted: Wanted, key: ec.EllipticCurvePrivateKey) -> CertificateSigningRequest:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{wanted.node}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if wanted.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in wanted.hosts])
        builder = builder.add_extension(names, critical=False)
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return CertificateSigningRequest(
        metadata=ObjectMeta(name=f"node-csr-{hashlib.sha256(public).hexdigest()[:40]}"),
        spec=CertificateSigningRequestSpec(
            request=builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            signer_name=wanted.signer,
            usages=list(wanted.usages),
        ),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def seconds_left(file: Path) -> float:
    """How long the certificate in a file is good for; 0 when there is none."""
    certificate = _certificate(file)
    if certificate is None:
        return 0.0
    return (certificate.not_valid_after_utc - _now()).total_seconds()


def seconds_until_renewal(file: Path) -> float:
    """How long to wait before a new certificate is asked for: most of its life; 0 when there is none.

    At random between two points, so that nodes that came together do not all ask together.
    """
    certificate = _certificate(file)
    if certificate is None:
        return 0.0
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    at = certificate.not_valid_before_utc + life * random.uniform(_RENEW_FROM, _RENEW_TO)  # noqa: S311
    return max(0.0, (at - _now()).total_seconds())


def _certificate(file: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _pending(file: Path) -> Path:
    return file.with_suffix(".key.pending")


def _pending_key(file: Path) -> ec.EllipticCurvePrivateKey:
    pending = _pending(file)
    try:
        key = serialization.load_pem_private_key(pending.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    except (OSError, ValueError):
        pass
    made = ec.generate_private_key(ec.SECP256R1())
    pending.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(pending, key_pem(made))
    return made


def _install(file: Path, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(file, certificate.rstrip() + b"\n" + key_pem(key))
    _pending(file).unlink(missing_ok=True)
