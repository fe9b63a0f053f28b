import aiohttp
import pytest

from proa.oci.testing import RunningRegistry


@pytest.fixture(autouse=True)
def _no_blocking() -> None:
    """Rendering metrics reads /proc, which never waits for a disk."""


async def test_health_and_metrics_are_served(registry: RunningRegistry) -> None:
    async with aiohttp.ClientSession(registry.url) as session:
        async with session.get("/readyz?verbose") as response:
            assert response.status == 200
            assert "[+]registry ok" in await response.text()
        async with session.get("/metrics") as response:
            expected = 'proa_registry_request_seconds_count{method="GET",status="200"} 1.0'
            assert expected in await response.text()
