"""The examples are pods as Kubernetes writes them."""

import configparser
import json
from pathlib import Path

import pytest
import yaml

from proa import kube
from proa.app import settings
from proa.kube.models.core_v1 import Pod
from proa.kubelet import KubeletSettings, _unsupported

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "pods").glob("*.yaml"))


def test_the_systemd_unit_and_its_settings_are_good() -> None:
    folder = Path(__file__).parents[2] / "examples" / "systemd"
    chosen = settings.load(KubeletSettings, arguments=[], environ={}, file=folder / "kubelet.yaml")
    unit = configparser.RawConfigParser(strict=False)
    unit.read(folder / "proa-kubelet.service")
    assert unit["Service"]["KillMode"] == "process", "a restart must leave guests running"
    assert float(unit["Service"]["TimeoutStopSec"]) > chosen.shutdown_grace_period.total_seconds() + 10
    assert str(chosen.data_dir) == f"/var/lib/{unit['Service']['StateDirectory']}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_in_an_example_is_ignored(path: Path) -> None:
    documents = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "Pod"]
    for document in documents:
        pod = kube.decode(json.dumps(document).encode(), Pod)
        assert _unsupported.ignored(pod.spec) == []
    assert documents
