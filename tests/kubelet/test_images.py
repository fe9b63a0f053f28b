"""Images: of registries that want to know who asks, signed ones, and making room."""

import asyncio
import base64
import errno
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proa.kube import Api
from proa.kube.models.core_v1 import LocalObjectReference, Secret
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import KubeletError, KubeletSettings
from proa.kubelet._credential_providers import CredentialProviders
from proa.kubelet._image_collection import ImageCollector
from proa.kubelet._images import Images
from proa.kubelet._pull_secrets import of_secret
from proa.kubelet._sandbox_host import SandboxHost
from proa.oci import BlobStore, Credentials, OciError, Reference, Registry, RegistryClient, push_module
from proa.oci.store import BlobWriter
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


async def test_a_full_disk_is_told_and_the_image_is_pulled_once_there_is_room(
    node: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, append = threading.Event(), BlobWriter._append
    full.set()

    def refusing(writer: BlobWriter, chunks: list[bytes]) -> None:
        if full.is_set() and chunks:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(writer, chunks)

    monkeypatch.setattr(BlobWriter, "_append", refusing)
    await node.run("say", "hello")
    assert "the disk is full" in await node.until_waiting("ErrImagePull")
    full.clear()
    await node.until_phase("Succeeded")


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


PROVIDERS = """
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: cloud
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages: ["127.*.0.1:PORT/private"]
    defaultCacheDuration: 1h
    args: [get]
    env: [{name: ACCOUNT, value: someone}]
"""


def provider(directory: Path, *, cache_key: str = "Registry", code: int = 0) -> None:
    """A program that notes what it is asked, and says who we are."""
    answer = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
        "cacheKeyType": cache_key, "auth": {"127.0.0.*:PORT": {"username": "ACCOUNT", "password": "secret"}},
    }  # fmt: skip
    script = f"""#!/bin/sh
read request
echo "$1 $request" >> {directory}/asked
cat {directory}/answer | sed "s/ACCOUNT/$ACCOUNT/; s/PORT/$(cat {directory}/port)/"
exit {code}
"""
    (directory / "answer").write_text(json.dumps(answer))
    (directory / "cloud").write_text(script)
    (directory / "cloud").chmod(0o755)


async def test_a_credential_provider_of_the_node_is_asked_once(
    cluster: Cluster, guest: Path, tmp_path: Path
) -> None:
    async with private_image(tmp_path / "private", guest) as image:
        port = image.partition("/")[0].partition(":")[2]
        provider(tmp_path)
        (tmp_path / "port").write_text(port)
        (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", port))
        async with cluster.kubelet(
            image_credential_provider_config=tmp_path / "providers.yaml",
            image_credential_provider_bin_dir=tmp_path,
        ):
            for name in ("first", "second"):
                await cluster.run("say", "x", image=image, name=name, image_pull_policy="Always")
                await cluster.until_phase("Succeeded", name)
        (asked,) = (tmp_path / "asked").read_text().splitlines()
        argument, _, request = asked.partition(" ")
        assert argument == "get"
        assert json.loads(request) == {
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderRequest",
            "image": image.removesuffix(":1"),
        }


async def test_what_a_provider_says_is_kept_by_its_key_and_no_longer_than_it_allows(tmp_path: Path) -> None:
    provider(tmp_path, cache_key="Image")
    (tmp_path / "port").write_text("1")
    (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", "1").replace("1h", "0s"))
    providers = await asyncio.to_thread(CredentialProviders.load, tmp_path / "providers.yaml", tmp_path)
    reference = Reference.parse("127.0.0.1:1/private/x:1")
    assert [await providers.find(reference), await providers.find(reference)] == [WHO, WHO]
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
    (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", "1"))
    providers = await asyncio.to_thread(CredentialProviders.load, tmp_path / "providers.yaml", tmp_path)
    assert [await providers.find(reference), await providers.find(reference)] == [WHO, WHO]
    assert await providers.find(Reference.parse("127.0.0.1:1/private/y:1")) == WHO
    assert len((tmp_path / "asked").read_text().splitlines()) == 4
    assert await providers.find(Reference.parse("127.0.0.1:1/public:1")) is None
    assert len((tmp_path / "asked").read_text().splitlines()) == 4


async def test_a_provider_that_fails_is_no_reason_not_to_try(tmp_path: Path) -> None:
    provider(tmp_path, code=3)
    (tmp_path / "port").write_text("1")
    (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", "1"))
    providers = await asyncio.to_thread(CredentialProviders.load, tmp_path / "providers.yaml", tmp_path)
    assert await providers.find(Reference.parse("127.0.0.1:1/private:1")) is None


def test_all_that_is_wrong_with_providers_is_told_at_once(tmp_path: Path) -> None:
    wrong = """
      - {name: ../x, apiVersion: v1, matchImages: [a], defaultCacheDuration: 1h}
      - {name: gone, apiVersion: credentialprovider.kubelet.k8s.io/v1, defaultCacheDuration: soon}
    """
    (tmp_path / "providers.yaml").write_text(PROVIDERS.partition("  - name")[0] + wrong)
    with pytest.raises(KubeletError) as caught:
        CredentialProviders.load(tmp_path / "providers.yaml", tmp_path)
    for word in ("'../x' is no name", "apiVersion 'v1'", "gone: there is no", "matchImages", "a duration"):
        assert word in str(caught.value)
    (tmp_path / "providers.yaml").write_text("kind: Pod")
    with pytest.raises(KubeletError, match="no CredentialProviderConfig"):
        CredentialProviders.load(tmp_path / "providers.yaml", tmp_path)


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


async def test_an_image_that_is_being_pulled_is_waited_for_and_not_pulled_twice(tmp_path: Path) -> None:
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        images = Images(tmp_path / "images", client)
        there = await pushed(registry, client, tmp_path, "there")
        for reference, exists in ((there, True), (replace(there, repository="missing"), False)):
            pulling = asyncio.create_task(images.pull(reference))
            await asyncio.sleep(0)
            found = await images.find_or_await(reference)
            pulled = (await asyncio.gather(pulling, return_exceptions=True))[0]
            assert (found == pulled) if exists else (found is None and isinstance(pulled, OciError))


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
        # Manifest, config and module went together; looking at the others did not make them young.
        blobs = BlobStore(tmp_path / "images").directory / "blobs" / "sha256"
        assert len(list(blobs.iterdir())) == 6
        os.utime(link(tmp_path, "young"), (0, 0))
        assert await images.collect({digests[1]}, lambda: False, least_age=60) == 1
        # What is in use was used just now.
        assert link(tmp_path, "used").stat().st_mtime > 0
        assert await images.collect(set(), lambda: False, least_age=60) == 0


def link(directory: Path, name: str) -> Path:
    """Where the store notes what an image's name means."""
    return next(path for path in (directory / "images" / "links").iterdir() if name in path.read_text())


class Collected:
    """A node whose disk is as full as the test says."""

    def __init__(self, directory: Path, images: Images, **settings: Any) -> None:
        self.use = 0
        self.told: list[str] = []
        self.cache = directory / "modules"
        node: Any = SimpleNamespace(event=lambda reason, *_: self.told.append(reason))
        self.collector = ImageCollector(
            KubeletSettings(**settings),
            lambda: SimpleNamespace(disk=100, disk_available=100 - self.use),  # type: ignore[arg-type, return-value]
            images,
            SandboxHost(directory / "sandboxes", self.cache),
            list,
            node,
        )

    def compiled(self, digest: str) -> Path:
        path = self.cache / "engine" / f"{digest.rpartition(':')[2]}.cwasm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_suffix(".sha256").touch()
        os.utime(path, (0, 0))
        return path


async def test_what_was_compiled_goes_with_its_image(tmp_path: Path) -> None:
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        images = Images(tmp_path / "images", client)
        node = Collected(tmp_path, images, image_gc_high_threshold_percent=90)
        image = await images.pull(await pushed(registry, client, tmp_path, "one"))
        kept, orphan = node.compiled(image.digest), node.compiled("sha256:" + "0" * 64)
        node.use = 89
        await node.collector.collect()
        assert orphan.exists()
        node.use = 90
        await node.collector.collect()
        assert not orphan.exists()
        assert kept.exists()
        assert node.told == ["FreeDiskSpaceFailed"]
        os.utime(link(tmp_path, "one"), (0, 0))
        await node.collector.collect()
        assert not list(node.cache.rglob("*.*"))


async def test_an_image_that_is_unused_for_too_long_goes_in_any_case(tmp_path: Path) -> None:
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        images = Images(tmp_path / "images", client)
        node = Collected(tmp_path, images, image_maximum_gc_age=timedelta(hours=1))
        reference = await pushed(registry, client, tmp_path, "one")
        await images.pull(reference)
        await node.collector.collect()
        assert await images.find(reference) is not None
        os.utime(link(tmp_path, "one"), (0, 0))
        await node.collector.collect()
        assert await images.find(reference) is None


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
