"""What can be set about a kubelet."""

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from proa.app.settings import Secret, setting
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Taint
from proa.kubelet import _kubelet_configuration
from proa.kubelet._cluster_dns import parse_server
from proa.kubelet._node_room_settings import NodeRoomSettings

_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NODE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_TAINT: Final = re.compile(
    r"(?P<key>[^=:]+)(=(?P<value>[^:]*))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)"
)


_KUBERNETES: Final = re.compile(r"([a-z0-9.-]+\.)?(kubernetes|k8s)\.io/.*")
_ALLOWED: Final = re.compile(
    r"([a-z0-9.-]+\.)?(kubelet|node)\.kubernetes\.io/.*"
    r"|(beta\.)?kubernetes\.io/(arch|os|hostname|instance-type)"
    r"|(topology|failure-domain\.beta)\.kubernetes\.io/(region|zone)"
)


def default_node_name() -> str:
    """The machine's name, as a node may be called."""
    return socket.gethostname().lower()


@dataclass(frozen=True, kw_only=True)
class KubeletSettings(NodeRoomSettings):
    """Settings of a kubelet.

    `taints` is empty by default, so that pods of the embedded cluster run without tolerations. On a cluster
    with ordinary nodes set `kubernetes.io/arch=wasm32-wasi:NoSchedule`, which keeps pods away that are no
    WebAssembly, and give those that are the toleration for it.
    """

    kubeconfig: Path | None = setting(
        None, help="kubeconfig of the cluster; by default $KUBECONFIG or in-cluster"
    )
    server: str = setting("", help="URL of the API server, for joining with a bootstrap token")
    bootstrap_token: Secret | None = setting(
        None, help="token to ask for a client certificate with, where there is no kubeconfig"
    )
    certificate_authority: Path | None = setting(None, help="CA (PEM) of the API server at --server")
    bootstrap_kubeconfig: Path | None = setting(
        None, help="kubeconfig to ask for a client certificate with, instead of server and token"
    )
    rotate_certificates: bool = setting(True, help="renew the client certificate that bootstrapping gave")
    server_tls_bootstrap: bool = setting(
        False, help="have the cluster sign the serving certificate, and renew it"
    )
    node_name: str = setting("", help="name of the node; by default the host name in lower case")
    data_dir: Path = setting(Path(".proa/kubelet"), help="where pods, logs, images and sandboxes are kept")
    bind: str = setting("127.0.0.1", help="address to serve logs on")
    port: int = setting(10250, help="port to serve logs on; 0 picks a free one")
    node_ip: str = setting(
        "", help="address of the node that is told to the cluster; by default that of bind"
    )
    pod_cidr: str = setting("127.66.0.0/16", help="range that pods get their addresses from")
    cluster_dns: tuple[str, ...] = setting(
        (), help="name server that guests' requests ask first: ADDRESS or ADDRESS:PORT"
    )
    cluster_domain: str = setting("cluster.local", help="what the cluster's names end with")
    max_pods: int = setting(110, help="most pods that run at a time")
    max_container_restart_period: timedelta = setting(
        timedelta(minutes=5), help="most that a container which fails again and again waits for its restart"
    )
    node_labels: dict[str, str] = setting({}, help="further labels of the node")
    taints: tuple[str, ...] = setting((), help="taints that the node registers with: key=value:Effect")
    insecure_registries: tuple[str, ...] = setting(
        (), help="registries (host or host:port) reached by plain HTTP"
    )
    docker_config: Path | None = setting(
        None, help="Docker configuration with credentials and helpers for images of pods that bring none"
    )
    image_credential_provider_config: Path | None = setting(
        None, help="CredentialProviderConfig, or a directory of them: programs that know such credentials"
    )
    image_credential_provider_bin_dir: Path | None = setting(None, help="directory of these programs")
    image_signature_keys: tuple[Path, ...] = setting(
        (), help="public keys (PEM); images that none of them has signed (cosign) are refused"
    )
    max_parallel_image_pulls: int = setting(0, help="most images that are pulled at a time; 0 is any number")
    bindle_url: str | None = setting(None, help="Bindle server of images called bindle:NAME/VERSION#PARCEL")
    bindle_keyring: Path | None = setting(None, help="keys that may vouch for them; by default none may")
    bindle_strategy: str = setting(
        "MultipleAttestationGreedy[Host]", help="what their signatures must amount to"
    )
    static_pod_path: Path | None = setting(None, help="directory with manifests of pods of the node's own")
    file_check_frequency: timedelta = setting(timedelta(seconds=20), help="how often it is looked into")
    tls_cert_file: Path | None = setting(None, help="serving certificate (PEM); self-signed by default")
    tls_private_key_file: Path | None = setting(None, help="its private key (PEM)")
    client_ca_file: Path | None = setting(None, help="CA of client certificates; by default the kubeconfig's")
    container_log_max_size: str = setting("10Mi", help="size at which a container's log is rotated")
    container_log_max_files: int = setting(5, help="most files that are kept of a container's log")
    stop_pods_on_exit: bool = setting(
        False, help="end all containers on exit; else they run on for the next start"
    )

    def validate(self) -> Iterator[str]:
        """Say what is wrong, a line for each problem."""
        if not _NODE_NAME.fullmatch(self.name):
            yield f"node_name: {self.name!r} is no name: up to 63 lower-case letters, digits, '-' and '.'"
        if not _is_address_of_one_machine(self.address):
            yield f"node_ip: set it to the node's address: {self.address!r} is not one that others can use"
        if not 0 <= self.port <= 65535:
            yield f"port: {self.port} is no port"
        if self.max_pods < 1:
            yield f"max_pods: {self.max_pods} is less than 1"
        if not timedelta(seconds=1) <= self.max_container_restart_period <= timedelta(minutes=5):
            yield "max_container_restart_period: it is not from 1s to 5m"
        if self.container_log_max_files < 2:
            yield f"container_log_max_files: {self.container_log_max_files} is less than 2"
        if not _is_size(self.container_log_max_size):
            yield f"container_log_max_size: {self.container_log_max_size!r} is no quantity such as 10Mi"
        yield from self._wrong_certificates()
        yield from self.wrong_room()
        if (self.image_credential_provider_config is None) != (
            self.image_credential_provider_bin_dir is None
        ):
            yield (
                "image_credential_provider_config, image_credential_provider_bin_dir:"
                " both or none must be given"
            )
        if self.max_parallel_image_pulls < 0:
            yield f"max_parallel_image_pulls: {self.max_parallel_image_pulls} is negative"
        yield from self._wrong_network()
        yield from self._wrong_registration()

    def _wrong_registration(self) -> Iterator[str]:
        for key, value in self.node_labels.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
                yield f"node_labels: {key}={value} is no label"
            elif not _is_for_nodes(key):
                yield f"node_labels: an API server does not let a node give itself {key}"
        for taint in self.taints:
            if not _TAINT.fullmatch(taint):
                yield f"taints: {taint!r} is not key=value:NoSchedule (or PreferNoSchedule, NoExecute)"

    def _wrong_certificates(self) -> Iterator[str]:
        if self.bootstrap_token is not None and not self.server:
            yield "server: a bootstrap token needs the API server's URL"
        if self.server_tls_bootstrap and self.tls_cert_file is not None:
            yield "server_tls_bootstrap, tls_cert_file: only one of them can say what certificate is served"
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            yield "tls_cert_file, tls_private_key_file: both or none must be given"

    def _wrong_network(self) -> Iterator[str]:
        try:
            if ipaddress.ip_network(self.pod_cidr).num_addresses < self.max_pods + 2:
                yield f"pod_cidr: {self.pod_cidr} has too few addresses for {self.max_pods} pods"
        except ValueError as error:
            yield f"pod_cidr: {error}"
        for server in self.cluster_dns:
            try:
                parse_server(server)
            except ValueError as error:
                yield f"cluster_dns: {error}"

    @staticmethod
    def translate_document(document: Mapping[str, Any]) -> dict[str, Any]:
        """Read Kubernetes' own configuration file of a kubelet, too."""
        return _kubelet_configuration.translate(document)

    @property
    def bootstraps(self) -> bool:
        """Whether the node is to ask for a client certificate of its own."""
        return self.bootstrap_kubeconfig is not None or bool(self.server)

    @property
    def log_bytes(self) -> int:
        """The size at which a log is rotated."""
        return int(Quantity(self.container_log_max_size))

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node_name or default_node_name()

    @property
    def address(self) -> str:
        """The node's address."""
        return self.node_ip or self.bind


def _is_for_nodes(label: str) -> bool:
    """Whether Kubernetes lets a kubelet set a label: of its own names, a few only."""
    return not _KUBERNETES.fullmatch(label) or _ALLOWED.fullmatch(label) is not None


def _is_size(text: str) -> bool:
    try:
        return int(Quantity(text)) > 0
    except ValueError:
        return False


def _is_address_of_one_machine(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def parse_taint(text: str) -> Taint:
    """Read `key=value:Effect`.

    Raises:
        ValueError: It is not that.
    """
    match = _TAINT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not key=value:Effect")
    return Taint(key=match["key"], value=match["value"] or None, effect=match["effect"])
