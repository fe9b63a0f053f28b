"""The controllers of the embedded control plane; start reading at `ControllerManager`.

Each has a pure part, which says what to do given what there is, and a thin one that does it:

- Deployments: `_deployment_plan`, `_rollout`, `_revisions`, `_deployment_status`; `_deployment`.
- ReplicaSets: `_replicaset_plan`, `_expectations`, `_adoption`; `_replicaset`.
- StatefulSets: `_statefulset_plan`, `_statefulset_pods`; DaemonSets: `_daemonset_plan`. Both have their past
  templates as ControllerRevisions: `_history`.
- Jobs: `_job_plan`, `_job_count`, `_job_verdict`, `_job_pods`, `_job_indexes`; `_job`.
- CronJobs: `_cron`, `_cronjob_plan`; `_cronjob`.
- Where the pods of Services are: `_endpoints_plan`; `_endpoints`.
- Pods made and ended for an owner, and remembered until the cache shows it: `_podcontrol`.
- Garbage collection by owner, over all kinds: `_graph`; `_garbage`.
- Evictions: `_disruption_plan` says how many are allowed, `_eviction_plan` when a taint demands one.
- Volumes: `_binder_plan`; `_binder`; `_local_path` makes them of directories; `_ephemeral`: a pod's own.
- How many replicas: `_autoscaler_metrics`, `_autoscaler_pace`; `_autoscaler`.
- Nodes and the pods of lost nodes: `_nodes`. Service accounts: `_serviceaccounts`.

The end of a namespace's content is the API server's own work.

They follow kube-controller-manager's behaviour and speak only the Kubernetes API.
"""

from proa.controlplane.controllers._local_path import ensure_storage_class
from proa.controlplane.controllers._manager import ControllerManager

__all__ = ["ControllerManager", "ensure_storage_class"]
