"""Opens what all pods of a node use."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from proa.kube import Api, Client
from proa.kube.models.core_v1 import Service
from proa.kubelet import _host_facts, _node
from proa.kubelet._bindles import Bindles
from proa.kubelet._cluster_dns import ClusterDns
from proa.kubelet._credential_providers import CredentialProviders
from proa.kubelet._images import Images
from proa.kubelet._log_writer import LogLimits
from proa.kubelet._pod_context import Pauses, Services
from proa.kubelet._processors import Processors
from proa.kubelet._reference_watches import ReferenceWatches
from proa.kubelet._sandbox_host import SandboxHost
from proa.kubelet._settings import KubeletSettings
from proa.oci import DockerConfig, RegistryClient, SignaturePolicy
from proa.runtime import Recorder, Reflector


@contextlib.asynccontextmanager
async def open_services(settings: KubeletSettings, client: Client, pauses: Pauses) -> AsyncIterator[Services]:
    """Open them; they are closed with the block. Containers run on, unless the settings say otherwise.

    Raises:
        proa.app.ProaError: One of them cannot be used.
    """
    async with contextlib.AsyncExitStack() as parts:
        images = await _open_images(settings, parts)
        opening = SandboxHost.open(settings.data_dir / "sandboxes", settings.data_dir / "modules")
        sandboxes = await parts.enter_async_context(opening)
        if settings.stop_pods_on_exit:
            parts.push_async_callback(sandboxes.shutdown)
        recorder = await parts.enter_async_context(Recorder(client, "kubelet", settings.name))
        host = await asyncio.to_thread(_host_facts.observe, settings.data_dir)
        known_services = await parts.enter_async_context(Reflector(Api(client, Service)))
        yield Services(
            client=client,
            sandboxes=sandboxes,
            images=images,
            recorder=recorder,
            node_ip=settings.address,
            allocatable=_node.allocatable(host, settings),
            pauses=pauses,
            log_limits=LogLimits(settings.log_bytes, settings.container_log_max_files),
            processors=await asyncio.to_thread(Processors.find),
            known_services=known_services.store,
            dns=ClusterDns(servers=settings.cluster_dns, domain=settings.cluster_domain),
            watches=await parts.enter_async_context(ReferenceWatches.open(client)),
        )


async def _open_images(settings: KubeletSettings, parts: contextlib.AsyncExitStack) -> Images:
    registries = RegistryClient(insecure_registries=settings.insecure_registries)
    keys = settings.image_signature_keys
    return Images(
        settings.data_dir / "images",
        await parts.enter_async_context(registries),
        bindles=await parts.enter_async_context(Bindles.open(settings)),
        docker_config=DockerConfig(settings.docker_config) if settings.docker_config else None,
        providers=await asyncio.to_thread(_credential_providers, settings),
        policy=await SignaturePolicy.load(keys) if keys else None,
        parallel=settings.max_parallel_image_pulls,
    )


def _credential_providers(settings: KubeletSettings) -> CredentialProviders | None:
    configuration, programs = (
        settings.image_credential_provider_config,
        settings.image_credential_provider_bin_dir,
    )
    return CredentialProviders.load(configuration, programs) if configuration and programs else None
