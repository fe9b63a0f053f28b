"""A node that joins with a bootstrap token, and the certificates that it gets and renews."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proa.app import Secret as SecretText
from proa.kube import Api, Client, Config, Merge, WatchEvent
from proa.kube.models.certificates_v1 import CertificateSigningRequest
from proa.kube.models.core_v1 import Secret
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import Kubelet, KubeletSettings, join
from proa.kubelet import _node_certificates as certificates
from proa.kubelet._node_certificates import CertificateRefusedError, Wanted

Cluster = Any
TOKEN = "abcdef.0123456789abcdef"


@pytest.fixture
async def settings(cluster: Cluster, tmp_path: Path) -> KubeletSettings:
    """Those of a node that has a bootstrap token only."""
    token_id, secret = TOKEN.split(".")
    data = {"token-id": token_id, "token-secret": secret, "usage-bootstrap-authentication": "true"}
    token = Secret(
        metadata=ObjectMeta(name=f"bootstrap-token-{token_id}", namespace="kube-system"),
        type="bootstrap.kubernetes.io/token",
        string_data=data,
    )
    await Api(cluster.client, Secret, namespace="kube-system").create(token)
    (tmp_path / "ca.crt").write_bytes(cluster.client.config.ca_data)
    made = cluster.settings(
        server=cluster.server.url,
        bootstrap_token=SecretText(TOKEN),
        certificate_authority=tmp_path / "ca.crt",
        server_tls_bootstrap=True,
    )
    assert isinstance(made, KubeletSettings)
    return made


async def test_a_node_joins_with_a_bootstrap_token_and_serves_what_the_cluster_signed(
    cluster: Cluster, settings: KubeletSettings
) -> None:
    config = await join(settings)
    client_file = settings.data_dir / "pki" / "kubelet-client.pem"
    first = client_file.read_bytes()
    assert client_file.stat().st_mode & 0o777 == 0o600
    assert (await join(settings)).client_certificate_file == client_file
    assert client_file.read_bytes() == first, "a certificate that is good is not asked for again"
    async with Kubelet(settings, config) as kubelet:
        await cluster.run("say", "hello")
        await cluster.until_phase("Succeeded")
        served = settings.data_dir / "pki" / "kubelet-server.pem"
        await cluster.eventually(served.exists)
        trusting = ssl.create_default_context(cadata=config.ca_data.decode() if config.ca_data else None)
        _, writer = await asyncio.open_connection("127.0.0.1", kubelet.port, ssl=trusting)
        writer.close()
        await writer.wait_closed()
        # A renewal, and the node goes on with the new one.
        async with Client(config) as client:
            await certificates.obtain(client, Wanted.client(settings.data_dir / "pki", settings.name))
        assert client_file.read_bytes() != first
        await cluster.run("say", "hello", name="again")
        await cluster.until_phase("Succeeded", "again")


async def test_a_request_that_waits_is_taken_up_by_the_next_kubelet_and_may_be_denied(
    cluster: Cluster, settings: KubeletSettings
) -> None:
    # Nobody approves a serving certificate for an address that the node has not.
    wanted = Wanted.serving(settings.data_dir / "pki", settings.name, "10.1.2.3")
    requests = Api(cluster.client, CertificateSigningRequest)
    async with Client(cluster.config) as client:
        for _ in range(2):
            waiting = asyncio.create_task(certificates.obtain(client, wanted))
            name = await until_asked(requests)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert [one.metadata.name async for one in requests.list()] == [name]
        denied = {"type": "Denied", "status": "True", "reason": "No", "message": "not this one"}
        await requests.patch(name, Merge({"status": {"conditions": [denied]}}), subresource="approval")
        with pytest.raises(CertificateRefusedError, match="not this one"):
            await certificates.obtain(client, wanted)


async def until_asked(requests: Api[CertificateSigningRequest]) -> str:
    async with asyncio.timeout(30), aclosing(requests.watch("")) as events:
        async for event in events:
            if isinstance(event, WatchEvent):
                return event.object.metadata.name or ""
    raise AssertionError("the watch ended")


@pytest.mark.parametrize(
    ("age", "holds"),
    [
        (timedelta(0), lambda seconds: seconds > 7 * 3600 * 0.9),
        (timedelta(hours=9, minutes=30), lambda seconds: seconds == 0),
    ],
)
def test_certificates_are_renewed_when_most_of_their_life_has_passed(
    age: timedelta, holds: Callable[[float], bool], tmp_path: Path
) -> None:
    file, key = tmp_path / "some.pem", ec.generate_private_key(ec.SECP256R1())
    name, born = x509.Name([]), datetime.now(UTC) - age
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(born)
        .not_valid_after(born + timedelta(hours=10))
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    assert holds(certificates.seconds_until_renewal(file))
    assert certificates.seconds_until_renewal(tmp_path / "none") == 0


async def test_with_a_kubeconfig_nothing_is_asked_for(cluster: Cluster, settings: KubeletSettings) -> None:
    path = cluster.server.kubeconfig
    assert await join(KubeletSettings(kubeconfig=path, data_dir=settings.data_dir)) == Config.from_kubeconfig(
        path
    )
