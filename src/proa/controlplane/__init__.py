"""The embedded control plane: a Kubernetes API server on one SQLite file, a scheduler and controllers.

`ApiServer` serves Kubernetes' API over TLS; every Kubernetes client can use it. Its rooms:

- `server`: settings, and the context manager that puts the rest together. Start reading here.
- `serving`: HTTP: requests to verbs, representations, watches, subresources.
- `registry`: the resources, what is special about each (strategies), and how objects are written.
- `schema`: types and their defaults; `patch`: the patch formats; `selectors`: label and field selectors.
- `storage`: durable objects with one revision counter, an index in memory, and the recent past.
- `security`: certificates, tokens, who may do what; `admission`: what depends on other objects and on others.
- `customresources`: definitions and what they define; `cel`: the rules of both, in CEL.
- `presentation`: discovery, tables, OpenAPI.
- `scheduler`, `controllers`, `network`: clients of the API like any other, on `proa.runtime`.
- `_housekeeping`: what acts beside requests (`_namespaces`, `_expiry`, `_certifier`, `_aggregation`, …).
- `testing`: servers for tests, and the pytest fixture `kube_api` (`pytest_plugin`).
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from ._errors import ControlPlaneError
    from .controllers import ControllerManager
    from .network import Network
    from .scheduler import Scheduler
    from .server import ApiServer, ApiServerSettings
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "_errors": ("ControlPlaneError",),
            "controllers": ("ControllerManager",),
            "network": ("Network",),
            "scheduler": ("Scheduler",),
            "server": ("ApiServer", "ApiServerSettings"),
        },
    )

__all__ = ["ApiServer", "ApiServerSettings", "ControlPlaneError", "ControllerManager", "Network", "Scheduler"]
