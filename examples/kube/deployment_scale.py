"""Subresources: scale a workload, whatever its kind, and have it start anew."""

import asyncio

from proa.kube import Api, Client
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta

LABELS = {"example": "scale"}


async def main() -> None:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=LABELS),
        spec=PodSpec(containers=[Container(name="web", image="localhost:5050/web:1")]),
    )
    spec = DeploymentSpec(replicas=1, selector=LabelSelector(match_labels=LABELS), template=template)
    async with Client.from_env() as client:
        deployments = Api(client, Deployment, namespace="default")
        await deployments.create(Deployment(metadata=ObjectMeta(name="example-scale"), spec=spec))
        print((await deployments.scale("example-scale", 3)).spec.replicas, "replicas")
        await deployments.restart("example-scale")
        await deployments.delete("example-scale", propagation="Background")


asyncio.run(main())
