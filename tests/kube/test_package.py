"""The package's public face."""

import subprocess
import sys


def test_importing_the_client_loads_nothing_heavy() -> None:
    heavy = {"aiohttp", "asyncio", "yaml", "ssl", "proa.kube.models.core_v1"}
    program = f"import sys, proa.kube; from proa.kube import Api, Client; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
