import json
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

_HEAVY = ["aiohttp", "msgspec", "prometheus_client", "structlog", "uvloop", "yaml"]
_PACKAGES = [
    f"proa.{name}"
    for name in ["app", "bindle", "controlplane", "kube", "kubelet", "oci", "runtime", "statemachine", "wasm"]
]


def loaded_by(statement: str) -> list[str]:
    code = f"import json, sys; {statement}; print(json.dumps([m for m in {_HEAVY} if m in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules: list[str] = json.loads(result.stdout)
    return modules


@pytest.mark.parametrize(
    "statement",
    [
        "import proa.app",
        "from proa.app import App, Backoff, Health, Metrics, ProaError, Secret, run",
        "from proa.app import settings, logs, http, lifecycle, testing",
    ],
)
def test_importing_the_kit_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == []


@pytest.mark.parametrize("package", _PACKAGES)
def test_a_package_offers_its_names_and_no_other(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert not isinstance(getattr(module, name), ModuleType), name
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = module.nonsense
