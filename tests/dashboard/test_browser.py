"""The page of `proa up` in headless Chromium, as a person finds it: by the link, in an outage, on a phone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proa.cli.testing import Up, proa, up
from proa.wasm.testing import compile_c

pytestmark = pytest.mark.xdist_group("dashboard-browser")

TICKER = """
#include <stdio.h>
#include <unistd.h>
int main(void) { puts("<b>tick</b>"); fflush(stdout); for (;;) sleep(9); }
"""
PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: main, image: "{image}"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 18383}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: nothing-behind-it}}
spec: {{selector: {{app: nothing}}, ports: [{{port: 18384}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: door}}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 18383}}}}}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: rarely}}
spec:
  schedule: 0 0 1 1 *
  jobTemplate:
    spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: main, image: "{image}"}}]}}}}}}
"""
LOST = """
apiVersion: v1
kind: Pod
metadata: {{name: lost}}
spec: {{containers: [{{name: main, image: "{registry}/nothing:1"}}]}}
"""

# Not its words: a machine that other tests keep busy is one thing that the page names.
CALM = "document.querySelector('h1')?.matches('.good, .busy') && document.querySelector('#census').innerText"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path / "state") as running:
        yield running


async def test_the_page_shows_trouble_life_and_logs_as_they_happen(cluster: Up, tab: Any) -> None:
    def prepare() -> None:
        image = f"{cluster.registry}/ticker:1"
        pushed = proa("push", compile_c(TICKER), image)
        assert pushed.returncode == 0, pushed.stderr
        cluster.kubectl("apply", "-f", "-", stdin=PODS.format(image=image))

    await asyncio.to_thread(prepare)
    await tab.size(1280, 900)
    await tab.open(cluster.page)
    await tab.until(CALM)
    assert await tab.run("location.hash") == ""  # the code is gone from the address and the history
    await tab.until("document.querySelector('#pods .good')?.innerText === 'Running'")

    for text in ("1/1", "no endpoint is ready", "http://shop.example/ → web:18383"):
        await tab.shows(text, "#services")
    await tab.shows("0 0 1 1 *")
    await tab.shows("has not run yet")

    lost = LOST.format(registry=cluster.registry)
    await asyncio.to_thread(cluster.kubectl, "apply", "-f", "-", stdin=lost)
    await tab.shows("One thing needs you")
    await tab.shows("has no manifest", "#troubles")
    await tab.run("document.querySelector('#troubles a').click()")
    await tab.shows("lost: ")
    await tab.until(
        "['PullFailed', 'ImagePullBackOff'].includes("
        "document.querySelector('[data-machine=container] .here text')?.textContent)"
    )
    await asyncio.to_thread(cluster.kubectl, "delete", "pod", "lost")
    await tab.shows("lost is gone")

    await tab.run("document.querySelector('a.brand').click()")
    await tab.until(CALM)
    await tab.run(
        "[...document.querySelectorAll('#pods a')].find(each => each.innerText.startsWith('web')).click()"
    )
    await tab.shows("<b>tick</b>", "#log")  # what a guest prints is text
    await tab.until("document.querySelector('[data-machine=pod] .here text')?.textContent === 'Running'")

    for width in (390, 320):
        await tab.size(width, 800, phone=True)
        assert await tab.run("document.documentElement.scrollWidth") <= width
    await tab.run("location.hash = '#/'")
    await tab.until(CALM)
    assert await tab.run("document.documentElement.scrollWidth") <= 320

    await tab.run("document.getElementById('leave').click()")
    await tab.shows("Who is there?")
    assert tab.complaints == []


async def test_a_link_that_was_used_asks_who_is_there(cluster: Up, tab: Any) -> None:
    await tab.open(cluster.page)
    await tab.shows("node")
    await tab.call("Network.clearBrowserCookies")
    await tab.open("about:blank")
    await tab.open(cluster.page)
    await tab.shows("used already")
