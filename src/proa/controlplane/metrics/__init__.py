"""What nodes and pods use, as `metrics.k8s.io` says it: for `kubectl top` and for autoscalers.

- `_scrape`: a kubelet's `/metrics/resource`, read. Pure.
- `_usage`: two such readings make the rates and amounts that are served. Pure.
- `MetricsService`: asks the kubelets when somebody wants to know; start reading there.

https://github.com/kubernetes-sigs/metrics-server is what does this elsewhere.
"""

from ._service import RESOURCES, MetricsService

__all__ = ["RESOURCES", "MetricsService"]
