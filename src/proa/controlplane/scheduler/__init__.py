"""The scheduler: gives each pod a node.

- `schedule`: the decision, a plain function of a pod and a `Cluster`; start reading there.
- `Cluster`: nodes and what is taken of them, kept current with changes and one's own decisions.
- `Scheduler`: connects both to an API server.
- `admits`, `effective`, `tolerates`, `untolerated`: affinity and taints, which controllers ask about too.

It follows kube-scheduler's default plugins for node name, node selector and affinity, taints, host ports and
requested resources, and spreads by what is left.
"""

from proa.controlplane.scheduler._affinity import admits
from proa.controlplane.scheduler._cluster import Cluster
from proa.controlplane.scheduler._schedule import Placement, Unschedulable, schedule
from proa.controlplane.scheduler._scheduler import Scheduler
from proa.controlplane.scheduler._taints import effective, tolerates, untolerated

__all__ = [
    "Cluster",
    "Placement",
    "Scheduler",
    "Unschedulable",
    "admits",
    "effective",
    "schedule",
    "tolerates",
    "untolerated",
]
