"""Images: of registries that want to know who asks, signed ones, and making room."""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proa.kube import Api
from proa.kube.models.core_v1 import LocalObjectReference, Secret
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet._images import Images
from proa.kubelet._pull_secrets import of_secret
from proa.oci import BlobStore, Credentials, Reference, Registry, RegistryClient, push_module
from proa.oci.testing import EMPTY_MODULE, RunningRegistry, running_registry, sign_image

Cluster = Any
WHO = Credentials("someone", "secret")


@web.middleware
async def known_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.headers.get("Authorization") != WHO.basic:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
    return await handler(request)


@asynccontextmanager
async def private_image(directory: Path, guest: Path) -> AsyncIterator[str]:
    async with Registry(data_dir=directory, port=0, middlewares=[known_only]) as registry:
        address = f"127.0.0.1:{registry.port}"
        async with RegistryClient(credentials={address: WHO}) as client:
            await push_module(client, guest, Reference.parse(f"{address}/private:1"))
        yield f"{address}/private:1"


def docker_config(image: str) -> bytes:
    auth = base64.b64encode(f"{WHO.username}:{WHO.password}".encode()).decode()
    return json.dumps({"auths": {image.partition("/")[0]: {"auth": auth}}}).encode()


async def test_a_private_image_is_pulled_with_the_pods_secret_only(
    node: Cluster, guest: Path, tmp_path: Path
) -> None:
    async with private_image(tmp_path / "private", guest) as image:
        await node.run("say", "x", image=image, name="nobody")
        await node.until_waiting("ImagePullBackOff", "nobody")
        secret = Secret(
            metadata=ObjectMeta(name="mine", namespace="default"),
            type="kubernetes.io/dockerconfigjson",
            data={".dockerconfigjson": docker_config(image)},
        )
        await Api(node.client, Secret, namespace="default").create(secret)
        references = [LocalObjectReference(name="none"), LocalObjectReference(name="mine")]
        await node.run("say", "x", image=image, image_pull_secrets=references)
        await node.until_phase("Succeeded")
        assert "secret none is not there" in (await node.events())["FailedToRetrieveImagePullSecret"]


async def test_a_credential_helper_of_the_node_is_asked(
    cluster: Cluster, guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with private_image(tmp_path / "private", guest) as image:
        programs = tmp_path / "bin"
        programs.mkdir()
        answer = json.dumps({"ServerURL": "", "Username": WHO.username, "Secret": WHO.password})
        helper = programs / "docker-credential-test"
        helper.write_text(f"#!/bin/sh\nread host\necho $host >> {tmp_path}/asked\necho '{answer}'\n")
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        registry = image.partition("/")[0]
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {registry: "test"}}))
        async with cluster.kubelet(docker_config=tmp_path / "config.json"):
            await cluster.run("say", "x", image=image)
            await cluster.until_phase("Succeeded")
        assert (tmp_path / "asked").read_text().splitlines()[0] == registry


async def test_an_image_that_is_not_signed_is_refused_until_it_is(cluster: Cluster, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "cosign.pub").write_bytes(public)
    async with cluster.kubelet(image_signature_keys=(tmp_path / "cosign.pub",)):
        await cluster.run("say", "x")
        message = await cluster.until_waiting("SignatureValidationFailed")
        assert "is not signed" in message
        async with RegistryClient() as client:
            reference = Reference.parse(cluster.image)
            digest = (await client.get_manifest(reference)).digest
            await sign_image(
                client, reference, digest, lambda text: key.sign(text, ec.ECDSA(hashes.SHA256()))
            )
        await cluster.until_phase("Succeeded")


async def test_what_nobody_uses_makes_room_and_the_rest_stays(tmp_path: Path) -> None:
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        images = Images(tmp_path / "images", client)
        references = [await pushed(registry, client, tmp_path, name) for name in ("old", "used", "young")]
        digests = [(await images.pull(reference)).manifest_digest for reference in references]
        for path in (tmp_path / "images" / "links").iterdir():
            if "young" not in path.read_text():
                os.utime(path, (0, 0))
        removed = await images.collect({digests[1]}, lambda: False, least_age=60)
        assert removed == 1
        found = [await images.find(reference) is not None for reference in references]
        assert found == [False, True, True]
        blobs = BlobStore(tmp_path / "images").directory / "blobs" / "sha256"
        assert sum(path.stat().st_size == len(EMPTY_MODULE) + 64 for path in blobs.iterdir()) == 2


async def pushed(registry: RunningRegistry, client: RegistryClient, directory: Path, name: str) -> Reference:
    module = directory / f"{name}.wasm"
    module.write_bytes(EMPTY_MODULE + bytes([0, 62, 1]) + name.encode().ljust(61, b"-"))
    reference = registry.reference(f"{name}:1")
    await push_module(client, module, reference)
    return reference


def test_secrets_of_both_types_are_read() -> None:
    content = docker_config("example.com/x")
    new = Secret(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": content})
    old = json.dumps(json.loads(content)["auths"]).encode()
    assert of_secret(new) == {"example.com": WHO}
    assert of_secret(Secret(type="kubernetes.io/dockercfg", data={".dockercfg": old})) == {"example.com": WHO}
    with pytest.raises(ValueError, match="of the type Opaque"):
        of_secret(Secret(type="Opaque"))
