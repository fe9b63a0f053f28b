"""The pytest plugin that comes with Proa: the fixture `kube_api`.

pytest loads this module in every project that has Proa installed, so it loads nothing itself until a test
asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .testing import KubeApi
    from .testing._background import Background


@pytest.fixture(scope="session")
def _kube_api_background() -> Iterator[Background]:
    from .testing._background import Background

    with Background() as background:
        yield background


@pytest.fixture(scope="session")
def _kube_api_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .testing._kube_api import make_pki

    return make_pki(tmp_path_factory.mktemp("kube_api"))


@pytest.fixture
def kube_api(
    tmp_path_factory: pytest.TempPathFactory, _kube_api_background: Background, _kube_api_pki: Path
) -> Iterator[KubeApi]:
    """A Kubernetes API server of the test's own: `client`, `config`, `kubeconfig`, `url`, and faults."""
    from .testing import KubeApi

    directory = tmp_path_factory.mktemp("kube_api", numbered=True)
    with KubeApi(directory, background=_kube_api_background, pki=_kube_api_pki) as api:
        yield api
    rmtree(directory)
