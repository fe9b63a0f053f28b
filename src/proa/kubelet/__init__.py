"""The node agent: runs pods whose images are WebAssembly modules, for any Kubernetes API server.

    async with Kubelet(KubeletSettings(data_dir=path, port=0), Config.from_kubeconfig(kubeconfig)):
        ...

Parts, each in a private module of its name:

- `Kubelet` (`_kubelet`, `_services`) puts all together, `KubeletSettings` (`_settings`) says how. Start here.
- A pod: `_pods` follows the API server and keeps a `_pod.PodWorker` for each pod, whose life is the machine
  of `_pod_states`, `POD`; each container's life is that of `_container_states`, `CONTAINER`. Both are drawn
  in docs/kubelet.md.
  Beside them: `_sidecars`; `_minding` runs the hooks (`_hooks`) and probes
  (`_probes`) of what runs, whose deeds are `_actions`; `_termination_message`.
- Pure: `_pod_status`, `_container_status` and `_status_patch` make what is reported; `_environment`,
  `_fields`, `_expansion`, `_volume_files` and `_mounts` what a guest is given; `_restarts` decides when it
  runs again, `_unsupported` what is told to be ignored.
- On disk: `_pod_directory`; `_volumes` with `_claims`, `_memory_volumes`, `_service_account_tokens` and
  `_atomic_files`, kept new by `_volume_updates` with `_reference_watches` and within bounds by `_storage`;
  logs (`_cri`, `_log_writer`, `_log_options`, `_log_reader`); `_standard_input`. `_users` says whom guests
  run as and files belong to.
- The node: `_host_facts`, `_node`, `_node_agent`, `_node_events`. `_node_certificates` gets and renews what
  it shows itself with. `_admission` says which pods may begin; `_thresholds`, `_pressure`, `_eviction`,
  `_shutdown_plan` and `_shutdown` (with `_logind` on `_dbus`) when pods must go, `_standing` who first,
  `_victims` whom the kernel kills. `_image_collection` makes room; `_processors` shares processor time
  among processes (`_process_tree`). `_static_pods`, of `_manifests`, are the node's own.
- The server: `_server`, `_access`, `_certificates`, `_usage`; `_exec` and `_port_forward` on `_channels`
  and `_spdy`, with `_racing`.
- `_sandbox_host` and `_images` are the ways to `proa.wasm` and `proa.oci`, with `_pull_secrets` and
  `_credential_providers`; `_wagi` is for pods that serve.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.kubelet._container_states import CONTAINER
    from proa.kubelet._kubelet import Kubelet
    from proa.kubelet._node_certificates import join
    from proa.kubelet._pod_context import Pauses
    from proa.kubelet._pod_states import POD
    from proa.kubelet._settings import KubeletSettings
    from proa.kubelet.errors import KubeletError
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "_container_states": ("CONTAINER",),
            "_kubelet": ("Kubelet",),
            "_node_certificates": ("join",),
            "_pod_context": ("Pauses",),
            "_pod_states": ("POD",),
            "_settings": ("KubeletSettings",),
            "errors": ("KubeletError",),
        },
    )

__all__ = ["CONTAINER", "POD", "Kubelet", "KubeletError", "KubeletSettings", "Pauses", "join"]
