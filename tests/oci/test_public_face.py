import subprocess
import sys

import proa.oci
from proa.oci import errors

LOOK = """
import sys, proa.oci
print(sorted({"aiohttp", "msgspec", "sqlite3", "asyncio"} & set(sys.modules)))
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    output = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"


def test_every_public_name_is_there() -> None:
    assert [name for name in proa.oci.__all__ if not hasattr(proa.oci, name)] == []
    assert set(errors.__all__) <= set(proa.oci.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(proa.oci, "Nothing")
