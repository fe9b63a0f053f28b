"""Cloud native for Python teams: Kubernetes, WebAssembly and the twelve factors in one package.

The house has floors, and a floor imports only floors below it:

- `proa.cli`: the `proa` command.
- `proa.kubelet`: a node agent that runs WebAssembly pods; `proa.controlplane`: an embedded control plane.
- `proa.runtime`: watchers, stores and controllers.
- `proa.kube`: a typed Kubernetes client; `proa.oci`: OCI distribution; `proa.wasm`: sandboxed guests.
- `proa.app`: the twelve-factor kit that every process stands on.

Importing this package imports none of them. Start reading at docs/architecture.md.
"""

__version__ = "0.1.0.dev0"
__all__ = ["__version__"]
