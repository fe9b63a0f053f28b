"""The scheduler: gives each pod a node.

- `schedule`: the decision, a plain function of a pod and a `Cluster`; start reading there. `_filters` say
  what rules a node out (`_affinity`, `_taints`, `_together`, `_spread`, `_volumes`), `_scores` which is best.
- `preempt`: which pods of lower priority make room for one that fits nowhere, plain too.
- `Cluster`: nodes, what is taken of them and what pods say of each other, kept current with changes and one's
  own decisions.
- `_queue`: which pod is next, and which waits for what kind of change.
- `Scheduler`: connects all this to an API server.
- `admits`, `effective`, `tolerates`, `untolerated`, `find_volume`: what controllers ask about too.

It follows kube-scheduler's default plugins and their words.
"""

from proa.controlplane.scheduler._affinity import admits
from proa.controlplane.scheduler._cluster import Cluster
from proa.controlplane.scheduler._preemption import NoPreemption, Preemption, preempt
from proa.controlplane.scheduler._schedule import Placement, Profile, Unschedulable, schedule
from proa.controlplane.scheduler._scheduler import Scheduler
from proa.controlplane.scheduler._scores import LEAST_ALLOCATED, MOST_ALLOCATED
from proa.controlplane.scheduler._taints import effective, tolerates, untolerated
from proa.controlplane.scheduler._volumes import (
    NO_PROVISIONER,
    SELECTED_NODE,
    WAIT,
    claim_names,
    find_volume,
)

__all__ = [
    "LEAST_ALLOCATED",
    "MOST_ALLOCATED",
    "NO_PROVISIONER",
    "SELECTED_NODE",
    "WAIT",
    "Cluster",
    "NoPreemption",
    "Placement",
    "Preemption",
    "Profile",
    "Scheduler",
    "Unschedulable",
    "admits",
    "claim_names",
    "effective",
    "find_volume",
    "preempt",
    "schedule",
    "tolerates",
    "untolerated",
]
