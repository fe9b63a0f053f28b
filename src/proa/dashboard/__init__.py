"""The page of a cluster: what runs, what does not, and why; for any Kubernetes API server.

    async with Dashboard(DashboardSettings(), Config.from_env()) as page:
        print(page.login_url())

The page holds no power of its own: whoever looks at it does so as themselves. A one-time link stands for the
one who started it; anybody else signs in with a token of the API, and sees what that may see.

Parts: `_dashboard` (start reading there) puts together the site (`_site`: routes, headers, who is let in) and
the `_sessions`. A `_view` follows a cluster for one identity and tells browsers what changes; `_summaries`
makes of each object what the page shows of it, `_life` where in its life a pod is; `_usage` remembers what
nodes and pods used. `page/` is what the browser gets: plain HTML, CSS and ES modules, no build step.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.dashboard._dashboard import Dashboard
    from proa.dashboard._settings import DashboardSettings
else:
    __getattr__, __dir__ = lazy(__name__, {"_dashboard": ("Dashboard",), "_settings": ("DashboardSettings",)})

__all__ = ["Dashboard", "DashboardSettings"]
