"""Finding the configuration: kubeconfigs as the tools of the trade write them, and pods."""

import base64
import os
from pathlib import Path

import pytest

from proa.kube import Config, ConfigError
from proa.kube.config import kubeconfig_paths
from proa.kube.identity import Impersonation

V1 = "client.authentication.k8s.io/v1"
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
B64_PEM = base64.b64encode(PEM).decode()
B64_KEY = base64.b64encode(KEY).decode()

KIND = f"""
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {B64_PEM}
    server: https://127.0.0.1:40123
  name: kind-dev
contexts:
- context:
    cluster: kind-dev
    user: kind-dev
  name: kind-dev
current-context: kind-dev
kind: Config
users:
- name: kind-dev
  user:
    client-certificate-data: {B64_PEM}
    client-key-data: {B64_KEY}
"""
K3S = KIND.replace("kind-dev", "default").replace("127.0.0.1:40123", "127.0.0.1:6443") + "preferences: {}\n"
MINIKUBE = """
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: ca.crt
    extensions: [{name: cluster_info, extension: {provider: minikube.sigs.k8s.io, version: v1.37.0}}]
    server: https://192.168.49.2:8443
  name: minikube
contexts:
- context: {cluster: minikube, namespace: team, user: minikube}
  name: minikube
current-context: minikube
users:
- name: minikube
  user:
    client-certificate: profiles/client.crt
    client-key: profiles/client.key
"""
GKE = f"""
apiVersion: v1
kind: Config
clusters:
- name: gke_project_europe-west1_prod
  cluster: {{certificate-authority-data: {B64_PEM}, server: "https://203.0.113.7"}}
contexts:
- name: gke_project_europe-west1_prod
  context: {{cluster: gke_project_europe-west1_prod, user: gke_project_europe-west1_prod}}
current-context: gke_project_europe-west1_prod
users:
- name: gke_project_europe-west1_prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: gke-gcloud-auth-plugin
      installHint: Install gke-gcloud-auth-plugin
      provideClusterInfo: true
"""
EKS = GKE.replace("gke_project_europe-west1_prod", "arn:aws:eks:eu-west-1:123:cluster/prod").replace(
    "command: gke-gcloud-auth-plugin", "command: aws\n      args: [eks, get-token, --cluster-name, prod]"
)
AKS = f"""
apiVersion: v1
kind: Config
clusters:
- name: prod
  cluster: {{certificate-authority-data: {B64_PEM}, server: "https://prod-1.hcp.westeurope.azmk8s.io:443"}}
contexts:
- name: prod-admin
  context: {{cluster: prod, user: clusterAdmin}}
current-context: prod-admin
users:
- name: clusterAdmin
  user: {{client-certificate-data: {B64_PEM}, client-key-data: {B64_KEY}, token: 0123abcd}}
"""
AKS_ENTRA = f"""
apiVersion: v1
kind: Config
clusters:
- name: prod
  cluster: {{certificate-authority-data: {B64_PEM}, server: "https://prod-1.hcp.westeurope.azmk8s.io:443"}}
contexts:
- name: prod
  context: {{cluster: prod, user: clusterUser_group_prod}}
current-context: prod
users:
- name: clusterUser_group_prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args: [get-token, --environment, AzurePublicCloud, --server-id, 6dae42f8-4368-4678-94ff-3960e28e3630]
      command: kubelogin
      env: [{{name: AAD_LOGIN_METHOD, value: azurecli}}]
      provideClusterInfo: false
"""
FULL = """
clusters:
- name: c
  cluster: {server: "https://one.example", tls-server-name: inside, proxy-url: "socks5://proxy.example:1080"}
users:
- name: u
  user:
    username: me
    password: it
    as: root
    as-groups: [admins, ops]
    as-uid: "7"
    as-user-extra: {scopes: [a, b]}
    auth-provider:
      name: oidc
      config:
        idp-issuer-url: https://id.example
        idp-certificate-authority: ca.crt
        client-id: kubernetes
        refresh-token: again
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""
PLAIN = """
clusters: [{name: c, cluster: {server: "https://one.example"}}]
users: [{name: u, user: {token: one}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(PEM)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/client.crt").write_bytes(PEM)
    (tmp_path / "profiles/client.key").write_bytes(KEY)
    return tmp_path


def written(directory: Path, text: str, name: str = "config") -> Path:
    (directory / name).write_text(text)
    return directory / name


@pytest.mark.parametrize("text", [KIND, K3S, MINIKUBE, AKS])
def test_kubeconfigs_as_clusters_write_them(directory: Path, text: str) -> None:
    config = Config.from_kubeconfig(written(directory, text))
    assert (config.ca_data, config.client_certificate_data, config.client_key_data) == (PEM, PEM, KEY)
    assert config.server.startswith("https://")
    assert config.namespace == ("team" if text is MINIKUBE else "default")
    assert config.token == ("0123abcd" if text is AKS else None)


@pytest.mark.parametrize(
    ("text", "command"), [(GKE, "gke-gcloud-auth-plugin"), (EKS, "aws"), (AKS_ENTRA, "kubelogin")]
)
def test_programs_for_credentials_as_clouds_configure_them(directory: Path, text: str, command: str) -> None:
    path = written(directory, text)
    program = Config.from_kubeconfig(path).exec
    assert program
    assert (program.command, program.api_version) == (command, "client.authentication.k8s.io/v1beta1")
    assert program.where.startswith(f"{path}: user ")
    if text is EKS:
        assert program.args == ("eks", "get-token", "--cluster-name", "prod")
    if text is AKS_ENTRA:
        assert program.env == {"AAD_LOGIN_METHOD": "azurecli"}
        assert program.cluster is None
    else:
        assert program.cluster
        assert program.cluster["certificate-authority-data"] == B64_PEM


def test_everything_that_a_user_and_a_cluster_can_say(directory: Path) -> None:
    config = Config.from_kubeconfig(written(directory, FULL))
    assert (config.username, config.password) == ("me", "it")
    assert config.tls_server_name == "inside"
    assert config.proxy_url == "socks5://proxy.example:1080"
    assert config.impersonate == Impersonation(
        user="root", groups=("admins", "ops"), uid="7", extra={"scopes": ("a", "b")}
    )
    assert config.oidc
    assert (config.oidc.issuer_url, config.oidc.client_id) == ("https://id.example", "kubernetes")
    assert (config.oidc.refresh_token, config.oidc.ca_data) == ("again", PEM)
    assert "again" not in repr(config)
    assert "'it'" not in repr(config)


def test_nothing_secret_is_shown_in_a_repr(directory: Path) -> None:
    shown = repr(Config.from_kubeconfig(written(directory, AKS)))
    assert "PRIVATE KEY" not in shown
    assert "0123abcd" not in shown


def test_of_several_files_the_first_that_has_an_entry_wins(directory: Path) -> None:
    first = written(directory, "current-context: y\nusers: [{name: u, user: {token: first}}]\n", "first")
    second = written(directory, PLAIN, "second")
    third = written(
        directory,
        "clusters: [{name: c, cluster: {server: 'https://never'}}]\n"
        "contexts: [{name: y, context: {cluster: c, user: u, namespace: n}}]\n",
        "third",
    )
    config = Config.from_kubeconfig([first, directory / "missing", second, third])
    assert (config.server, config.token, config.namespace) == ("https://one.example", "first", "n")
    assert Config.from_kubeconfig([first, second, third], context="x").namespace == "default"


def test_the_environment_is_looked_at_as_kubectl_does(directory: Path) -> None:
    listed = os.pathsep.join([str(directory / "missing"), str(written(directory, PLAIN)), ""])
    assert Config.from_env(environ={"KUBECONFIG": listed}).server == "https://one.example"
    (directory / ".kube").mkdir()
    written(directory / ".kube", PLAIN)
    assert Config.from_env(environ={"HOME": str(directory)}).token == "one"
    assert kubeconfig_paths({"HOME": "/home/me"}) == [Path("/home/me/.kube/config")]


def test_no_configuration_at_all_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no Kubernetes configuration: .*/\.kube/config does not exist.*KUBECONFIG"
    ):
        Config.from_env(environ={"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"cannot read the kubeconfig .*/nope: No such file"):
        Config.from_kubeconfig(tmp_path / "nope")
    with pytest.raises(ConfigError, match=r"no such file: .*/a, .*/b"):
        Config.from_kubeconfig([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("current-context: x", "", r"current-context: is not set; .* known: x"),
        ("current-context: x", "current-context: z", r"there is no context 'z'; known: x"),
        (
            "cluster: c, user: u",
            "cluster: d, user: u",
            r"context 'x': cluster: there is no cluster 'd'; known: c",
        ),
        ("cluster: c, user: u", "cluster: c, user: v", r"context 'x': user: there is no user 'v'; known: u"),
        ("cluster: c, user: u", "user: u", r"context 'x': cluster: is missing"),
        ('{server: "https://one.example"}', "{}", r"cluster 'c' of context 'x': server: is missing"),
        ('"https://one.example"', "one.example:6443", r"server: 'one.example:6443' is no URL"),
        ('"https://one.example"', "7", r"server: must be text, not int"),
        (
            '"https://one.example"}',
            '"https://a", proxy-url: "ftp://p"}',
            r"cluster 'c' of context 'x': proxy-url: 'ftp://p' is no URL of one of the schemes http, https",
        ),
        (
            '"https://one.example"}',
            '"https://a", certificate-authority: nowhere.crt}',
            r"certificate-authority: cannot read .*/nowhere.crt: No such file",
        ),
        (
            '"https://one.example"}',
            '"https://a", certificate-authority-data: "?"}',
            r"cluster 'c' of context 'x': certificate-authority-data: is not base64",
        ),
        (
            '"https://one.example"}',
            '"https://a", insecure-skip-tls-verify: 3}',
            r"insecure-skip-tls-verify: must be true",
        ),
        (
            '"https://one.example"}',
            '"https://a", insecure-skip-tls-verify: true, certificate-authority-data: TUlJ}',
            r"insecure-skip-tls-verify: contradicts certificate-authority",
        ),
        ("token: one", "client-key-data: TUlJ", r"user 'u' of context 'x': client-certificate: is missing"),
        ("token: one", "client-certificate-data: TUlJ", r"user 'u' of context 'x': client-key: is missing"),
        ("token: one", "tokenFile: nowhere", r"user 'u' of context 'x': tokenFile: cannot read .*/nowhere"),
        ("token: one", "auth-provider: {name: oidc}", r"auth-provider: config: idp-issuer-url: is missing"),
        ("token: one", "auth-provider: {name: gcp}", r"auth-provider: name: 'gcp' is gone .*gke-gcloud"),
        ("token: one", "exec: {}, auth-provider: {}", r"exec: contradicts auth-provider"),
        ("token: one", "exec: {command: x}", r"user 'u' of context 'x': exec: apiVersion: None is none of"),
        ("token: one", f"exec: {{apiVersion: {V1}}}", r"exec: command: is missing"),
        ("token: one", f"exec: {{apiVersion: {V1}, command: x, args: [1]}}", r"exec: args: must be a list"),
        ("token: one", f"exec: {{apiVersion: {V1}, command: x, env: [a]}}", r"exec: env\[0\]: must have"),
        (
            "token: one",
            f"exec: {{apiVersion: {V1}, command: x, interactiveMode: Maybe}}",
            r"exec: interactiveMode: 'Maybe' is none of Never",
        ),
        ("token: one", "exec: 7", r"exec: must be a map"),
        ("token: one", "token: one, as-groups: [a]", r"as-groups: needs `as`"),
        ("token: one", "token: one, as: a, as-groups: b", r"as-groups: must be a list of texts"),
        ("token: one", "token: one, as: a, as-user-extra: {b: 1}", r"as-user-extra: b: must be a list"),
        ("[{name: u, user: {token: one}}]", "{u: {token: one}}", r"users: must be a list"),
        ("[{name: u, user: {token: one}}]", "[7]", r"users\[0\]: must have a name"),
        ("[{name: u, user: {token: one}}]", "[{name: u, user: [7]}]", r"users\[0\]\.user: must be a map"),
        ("clusters:", "clusters: [", r"is not YAML at line"),
        (PLAIN, "just text", r"is no kubeconfig"),
        (PLAIN, "", r"current-context: is not set; .* known: none"),
    ],
)
def test_each_fault_names_file_context_and_field(directory: Path, old: str, new: str, problem: str) -> None:
    assert old in PLAIN
    path = written(directory, PLAIN.replace(old, new))
    with pytest.raises(ConfigError, match=problem) as caught:
        Config.from_kubeconfig(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_an_error_and_no_traceback(directory: Path) -> None:
    path = directory / "config"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        Config.from_kubeconfig(path)
    with pytest.raises(ConfigError, match=r"cannot read the kubeconfig .*directory"):
        Config.from_kubeconfig(directory)


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigError, match=r"in-cluster configuration: cannot read .*/token"):
        Config.in_cluster(environ=environ, mount=tmp_path)
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "ca.crt").write_bytes(PEM)
    (tmp_path / "namespace").write_text("team\n")
    config = Config.in_cluster(environ=environ, mount=tmp_path)
    assert (config.server, config.namespace, config.ca_data) == ("https://[fd00::1]:443", "team", PEM)
    assert config.token_file == tmp_path / "token"
    with pytest.raises(ConfigError, match="not in a pod"):
        Config.in_cluster(environ={}, mount=tmp_path)
    with pytest.raises(ConfigError, match=r"cannot read /var/run/secrets|no Kubernetes"):
        Config.from_env(environ=environ | {"HOME": str(tmp_path)})


def test_a_configuration_by_hand_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="is no URL"):
        Config(server="localhost:6443")
    with pytest.raises(ConfigError, match="the proxy 'nonsense' is no URL"):
        Config(server="https://a", proxy_url="nonsense")
    with pytest.raises(ConfigError, match="only work together"):
        Config(server="https://a", client_certificate_data=PEM)
