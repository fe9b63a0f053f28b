from pathlib import Path

import pytest

from proa.kube import Client, Config
from proa.kube.models.core_v1 import (
    ConfigMap,
    ConfigMapProjection,
    Container,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    KeyToPath,
    NFSVolumeSource,
    ObjectFieldSelector,
    Pod,
    ProjectedVolumeSource,
    Secret,
    Volume,
    VolumeMount,
    VolumeProjection,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import _volume_files, _volumes
from proa.kubelet._fields import PodFields
from proa.kubelet._mounts import mounts
from proa.kubelet._references import Referenced
from proa.kubelet._volume_files import File
from proa.kubelet._volumes import ProvidedVolume
from proa.kubelet.errors import ContainerConfigError, KubeletError, VolumeError

CLIENT = Client(Config(server="http://127.0.0.1:1"))
FIELDS = PodFields(
    pod=Pod(metadata=ObjectMeta(name="p", namespace="n")), pod_ip="", host_ip="", allocatable={}
)
SETTINGS = ConfigMap(data={"a": "1", "b": "2"}, binary_data={"c": b"\xff"})


def contents(files: list[File]) -> dict[str, bytes]:
    return {str(file.path): file.content for file in files}


def test_a_config_map_gives_a_file_a_key() -> None:
    files = _volume_files.of_config_map(SETTINGS, "m", [], 0o600, optional=False)
    assert contents(files) == {"a": b"1", "b": b"2", "c": b"\xff"}
    assert {file.mode for file in files} == {0o600}


def test_items_choose_keys_names_and_modes() -> None:
    items = [KeyToPath(key="b", path="deep/down/b.txt", mode=0o400)]
    (file,) = _volume_files.of_config_map(SETTINGS, "m", items, None, optional=False)
    assert (str(file.path), file.content, file.mode) == ("deep/down/b.txt", b"2", 0o400)


def test_what_is_missing_is_named_unless_it_is_optional() -> None:
    with pytest.raises(VolumeError, match='secret "s" not found'):
        _volume_files.of_secret(None, "s", [], None, optional=False)
    with pytest.raises(VolumeError, match='secret "s" has no key k'):
        _volume_files.of_secret(Secret(), "s", [KeyToPath(key="k", path="k")], None, optional=False)
    assert _volume_files.of_secret(None, "s", [], None, optional=True) == []
    assert _volume_files.of_secret(Secret(), "s", [KeyToPath(key="k", path="k")], None, optional=True) == []


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a\0b"])
def test_no_path_leads_out_of_a_volume(path: str) -> None:
    with pytest.raises(VolumeError, match="must be relative"):
        _volume_files.inside(path)


async def test_projected_volumes_merge_their_sources(tmp_path: Path) -> None:
    name = DownwardAPIVolumeFile(path="name", field_ref=ObjectFieldSelector(field_path="metadata.name"))
    volume = Volume(
        name="v",
        projected=ProjectedVolumeSource(
            sources=[
                VolumeProjection(config_map=ConfigMapProjection(name="none", optional=True)),
                VolumeProjection(downward_api=DownwardAPIProjection(items=[name])),
            ]
        ),
    )
    files = _volumes._files(volume, Referenced(), FIELDS)
    assert contents(files) == {"name": b"p"}


async def test_an_empty_dir_is_kept_by_the_next_kubelet(tmp_path: Path) -> None:
    volume = Volume(name="v", empty_dir=EmptyDirVolumeSource())
    first = await _volumes.provide(CLIENT, volume, tmp_path, FIELDS)
    (first.path / "file").write_text("x")
    again = await _volumes.provide(CLIENT, volume, tmp_path, FIELDS)
    assert (again.path / "file").read_text() == "x"
    assert not again.read_only


async def test_host_path_wants_a_directory(tmp_path: Path) -> None:
    async def provide(path: Path, kind: str | None = None) -> ProvidedVolume:
        source = HostPathVolumeSource(path=str(path), type=kind)
        return await _volumes.provide(CLIENT, Volume(name="v", host_path=source), tmp_path, FIELDS)

    assert (await provide(tmp_path)).path == tmp_path
    assert (await provide(tmp_path / "new" / "one", "DirectoryOrCreate")).path.is_dir()
    with pytest.raises(VolumeError, match="there is no such directory on the node"):
        await provide(tmp_path / "none")
    with pytest.raises(VolumeError, match="directories only, not a Socket"):
        await provide(tmp_path, "Socket")


async def test_a_kind_that_is_not_supported_is_named(tmp_path: Path) -> None:
    volume = Volume(name="v", nfs=NFSVolumeSource(path="/", server="s"))
    with pytest.raises(VolumeError, match="does not support volumes of kind nfs"):
        await _volumes.provide(CLIENT, volume, tmp_path, FIELDS)


def mount(volume: Path, *, read_only: bool = False, **fields: str) -> tuple[Path, bool]:
    container = Container(name="c", volume_mounts=[VolumeMount(name="v", mount_path="/data", **fields)])  # type: ignore[arg-type]
    (made,) = mounts(container, {"v": ProvidedVolume(volume, read_only)}, {"POD": "p-0"})
    assert made.target == "/data"
    return made.source, made.read_only


def test_sub_paths_are_made_and_stay_inside(tmp_path: Path) -> None:
    assert mount(tmp_path) == (tmp_path, False)
    assert mount(tmp_path, read_only=True) == (tmp_path, True)
    assert mount(tmp_path, sub_path="a/b") == (tmp_path / "a" / "b", False)
    assert (tmp_path / "a" / "b").is_dir()
    assert mount(tmp_path, sub_path_expr="$(POD)/x") == (tmp_path / "p-0" / "x", False)


def test_a_sub_path_never_leads_out(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to(tmp_path)
    (volume / "file").write_text("x")
    for sub_path, problem in [
        ("../x", "must be relative"),
        ("link", "symbolic link"),
        ("file", "no directory"),
    ]:
        with pytest.raises(ContainerConfigError, match=problem):
            mount(volume, sub_path=sub_path)


def test_a_mount_of_an_unknown_volume_is_explained() -> None:
    container = Container(name="c", volume_mounts=[VolumeMount(name="none", mount_path="/x")])
    with pytest.raises(KubeletError, match='the pod has no volume "none"'):
        mounts(container, {}, {})
