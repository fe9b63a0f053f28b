"""The examples are pods as Kubernetes writes them."""

import json
from pathlib import Path

import pytest
import yaml

from proa import kube
from proa.kube.models.core_v1 import Pod
from proa.kubelet import _unsupported

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "pods").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_in_an_example_is_ignored(path: Path) -> None:
    documents = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "Pod"]
    for document in documents:
        pod = kube.decode(json.dumps(document).encode(), Pod)
        assert _unsupported.ignored(pod.spec) == []
    assert documents
