import json
import subprocess
import sys

import pytest

_HEAVY = ["aiohttp", "msgspec", "prometheus_client", "structlog", "uvloop", "yaml"]


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


def test_an_unknown_name_is_an_attribute_error() -> None:
    import proa.app

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = proa.app.nonsense
