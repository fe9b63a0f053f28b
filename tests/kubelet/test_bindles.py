"""Pods whose image is a module in a bindle, and the policy of whom to trust."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proa.bindle import BindleClient
from proa.bindle.invoice import Parcel
from proa.bindle.keys import Keyring
from proa.bindle.signing import sign
from proa.bindle.testing import RunningServer, make_invoice, running_server
from proa.kubelet import KubeletSettings
from proa.kubelet._bindles import BindleReference, Bindles
from proa.kubelet._images import Images
from proa.oci import RegistryClient

Cluster = Any
ID = "example.com/guests/1.0.0"


@pytest.fixture
async def bindles(tmp_path: Path, guest: Path) -> AsyncIterator[RunningServer]:
    """A server with a bindle of two modules that are the guest."""
    content = await asyncio.to_thread(guest.read_bytes)
    async with running_server(tmp_path / "bindles") as server, BindleClient(server.url) as client:
        parts = {"guest.wasm": content, "other.wasm": content + b"\0\2\1x"}
        invoice = make_invoice(ID, parts)
        labels = [msgspec.structs.replace(each, media_type="application/wasm") for each in invoice.labels]
        invoice = msgspec.structs.replace(invoice, parcels=[Parcel(label=label) for label in labels])
        await client.create_invoice(sign(invoice, server.creator, "creator", 1))
        for label in invoice.labels:
            source = tmp_path / label.name
            source.write_bytes(parts[label.name])
            await client.push_parcel(invoice.id, label, source)
        Keyring.of(server.creator.public(), server.host.public()).save(tmp_path / "keyring.toml")
        yield server


async def test_a_pod_runs_a_module_out_of_a_bindle(
    cluster: Cluster, bindles: RunningServer, tmp_path: Path
) -> None:
    async with cluster.kubelet(bindle_url=bindles.url, bindle_keyring=tmp_path / "keyring.toml"):
        await cluster.run("say", "hello", image=f"bindle:{ID}#guest.wasm")
        pod = await cluster.until_phase("Succeeded")
        assert pod.status.container_statuses[0].image_id.startswith(f"bindle:{ID}#guest.wasm@sha256:")
        assert await cluster.logs() == b"hello"
        await cluster.run("say", "hello", name="vague", image=f"bindle:{ID}")
        assert "choose one as" in await cluster.until_waiting("ErrImagePull", "vague")
        await cluster.run("say", "hello", name="wrong", image="bindle:nonsense")
        assert "nonsense" in await cluster.until_waiting("InvalidImageName", "wrong")
        async with BindleClient(bindles.url) as client:
            await client.yank(make_invoice(ID, {}).id, "it bites")
        await cluster.run("say", "hello", name="yanked", image=f"bindle:{ID}#guest.wasm")
        assert "it bites" in await cluster.until_waiting("ErrImagePull", "yanked")


async def test_a_bindle_signed_by_nobody_known_is_not_run(cluster: Cluster, bindles: RunningServer) -> None:
    async with cluster.kubelet(bindle_url=bindles.url):
        await cluster.run("say", "hello", image=f"bindle:{ID}#guest.wasm")
        assert "not in the keyring" in await cluster.until_waiting("ErrImagePull")


async def test_a_node_without_a_bindle_server_says_so(node: Cluster) -> None:
    await node.run("say", "hello", image=f"bindle:{ID}#guest.wasm")
    assert "--bindle-url" in await node.until_waiting("ErrImagePull")


async def test_a_parcel_that_nobody_uses_makes_room(bindles: RunningServer, tmp_path: Path) -> None:
    settings = KubeletSettings(
        bindle_url=bindles.url, bindle_keyring=tmp_path / "keyring.toml", data_dir=tmp_path / "kubelet"
    )
    async with Bindles.open(settings) as own, RegistryClient() as client:
        images = Images(tmp_path / "images", client, bindles=own)
        pulled = await images.pull(BindleReference.parse(f"bindle:{ID}#guest.wasm"))
        assert pulled.digest in await images.modules()
        assert await images.collect({pulled.digest}, lambda: False, least_age=0) == 0
        assert await images.collect(set(), lambda: False, least_age=0) == 1
        assert not pulled.path.exists()
