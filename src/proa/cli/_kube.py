"""What the commands that speak to a cluster share: which one, and as what."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proa.cli._cluster import cluster_config
from proa.kube import Client


@dataclass(frozen=True)
class Target:
    """A cluster, and the namespace that is meant in it."""

    client: Client
    namespace: str


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cluster and namespace are meant."""
    parser.add_argument(
        "--kubeconfig", type=Path, help="the cluster (default: as kubectl, or .proa/kubeconfig)"
    )
    parser.add_argument("--context", help="the context in the kubeconfig (default: the current one)")
    parser.add_argument("-n", "--namespace", help="the namespace (default: the context's)")


@asynccontextmanager
async def target(words: argparse.Namespace) -> AsyncIterator[Target]:
    """Open a client of the cluster that the options say."""
    config = await asyncio.to_thread(cluster_config, words.kubeconfig, words.context)
    async with Client(config) as client:
        yield Target(client, words.namespace or config.namespace)
