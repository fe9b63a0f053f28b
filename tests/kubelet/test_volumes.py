import os
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

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
from proa.kubelet import _atomic_files, _storage, _volume_files, _volumes
from proa.kubelet._fields import PodFields
from proa.kubelet._mounts import mounts
from proa.kubelet._references import Referenced
from proa.kubelet._service_account_tokens import Tokens, renewal
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
    first = await _volumes.provide(CLIENT, volume, tmp_path, FIELDS, Tokens(CLIENT))
    (first.path / "file").write_text("x")
    again = await _volumes.provide(CLIENT, volume, tmp_path, FIELDS, Tokens(CLIENT))
    assert (again.path / "file").read_text() == "x"
    assert not again.read_only


async def test_host_path_wants_a_directory(tmp_path: Path) -> None:
    async def provide(path: Path, kind: str | None = None) -> ProvidedVolume:
        source = HostPathVolumeSource(path=str(path), type=kind)
        return await _volumes.provide(
            CLIENT, Volume(name="v", host_path=source), tmp_path, FIELDS, Tokens(CLIENT)
        )

    assert (await provide(tmp_path)).path == tmp_path
    assert (await provide(tmp_path / "new" / "one", "DirectoryOrCreate")).path.is_dir()
    with pytest.raises(VolumeError, match="there is no such directory on the node"):
        await provide(tmp_path / "none")
    with pytest.raises(VolumeError, match="directories only, not a Socket"):
        await provide(tmp_path, "Socket")


async def test_a_kind_that_is_not_supported_is_named(tmp_path: Path) -> None:
    volume = Volume(name="v", nfs=NFSVolumeSource(path="/", server="s"))
    with pytest.raises(VolumeError, match="does not support volumes of kind nfs"):
        await _volumes.provide(CLIENT, volume, tmp_path, FIELDS, Tokens(CLIENT))


def mount(volume: Path, *, read_only: bool = False, **fields: str) -> tuple[Path, bool]:
    container = Container(name="c", volume_mounts=[VolumeMount(name="v", mount_path="/data", **fields)])  # type: ignore[arg-type]
    (made,) = mounts(container, {"v": ProvidedVolume(volume, read_only)}, {"POD": "p-0"}, volume / "files")
    assert made.target == "/data"
    return made.source / made.sub_path, made.read_only


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
        ("link/x", "symbolic link"),
        ("file", "no directory"),
    ]:
        with pytest.raises(ContainerConfigError, match=problem):
            mount(volume, sub_path=sub_path)


def test_a_mount_of_an_unknown_volume_is_explained() -> None:
    container = Container(name="c", volume_mounts=[VolumeMount(name="none", mount_path="/x")])
    with pytest.raises(KubeletError, match='the pod has no volume "none"'):
        mounts(container, {}, {}, Path())


# Files that change all at once


def files(**contents: str) -> list[File]:
    return [
        File(PurePosixPath(name.replace("__", "/")), text.encode(), 0o640) for name, text in contents.items()
    ]


def read(directory: Path) -> dict[str, str]:
    """What a guest sees: names that do not begin with two dots."""
    return {
        str(path.relative_to(directory)): path.read_text()
        for top in directory.iterdir()
        if not top.name.startswith("..")
        for path in ([top] if top.is_file() else top.rglob("*"))
    }


def test_files_appear_change_and_go_all_at_once(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert _atomic_files.write(volume, files(a="1", sub__b="2"))
    assert read(volume) == {"a": "1", "sub/b": "2"}
    assert (volume / "a").stat().st_mode & 0o777 == 0o640
    directory = os.open(volume / "..data", os.O_RDONLY)
    assert not _atomic_files.write(volume, files(a="1", sub__b="2"))
    assert os.path.samestat(os.fstat(directory), (volume / "..data").stat())
    os.close(directory)
    assert _atomic_files.write(volume, files(a="3", c="4"))
    assert read(volume) == {"a": "3", "c": "4"}
    assert len([*volume.glob("..2*")]) == 1


def test_a_write_that_was_broken_off_is_made_up_for(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    (volume / "..2026-half").mkdir(parents=True)
    (volume / "..data_tmp").symlink_to("..2026-half")
    assert not _atomic_files.is_written(volume)
    assert _atomic_files.write(volume, files(a="1"))
    assert read(volume) == {"a": "1"}
    assert not [*volume.glob("..2026-half")]


def test_one_file_of_a_config_map_can_be_mounted(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    _atomic_files.write(volume, files(app="x", other="y", sub__deep="z"))
    provided = ProvidedVolume(volume, read_only=True, is_from_api=True)
    wanted = [
        VolumeMount(name="v", mount_path="/etc/app/app.conf", sub_path="app"),
        VolumeMount(name="v", mount_path="/etc/app/other.conf", sub_path="other"),
        VolumeMount(name="v", mount_path="/sub", sub_path="sub"),
    ]
    container = Container(name="c", volume_mounts=wanted)
    made = {mount.target: mount for mount in mounts(container, {"v": provided}, {}, tmp_path / "files")}
    assert read(made["/etc/app"].source) == {"app.conf": "x", "other.conf": "y"}
    assert made["/etc/app"].read_only
    assert read(made["/sub"].source / made["/sub"].sub_path) == {"deep": "z"}


def test_mounts_that_meet_in_one_directory_are_refused(tmp_path: Path) -> None:
    wanted = [VolumeMount(name="v", mount_path="/x"), VolumeMount(name="v", mount_path="/x/")]
    container = Container(name="c", volume_mounts=wanted)
    with pytest.raises(ContainerConfigError, match="meet in one directory"):
        mounts(container, {"v": ProvidedVolume(tmp_path)}, {}, tmp_path / "files")


# Limits and tokens


def test_usage_counts_what_lies_below_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_bytes(b"x" * 1_000_000)
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "in" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= _storage.usage(tmp_path / "in") < 200_000
    assert _storage.usage(tmp_path / "none") == 0


def test_a_token_is_renewed_when_a_fifth_of_its_time_is_left_or_after_a_day() -> None:
    begin = datetime(2026, 11, 21, tzinfo=UTC)
    assert renewal(begin, begin + timedelta(hours=1)) == begin + timedelta(minutes=48)
    assert renewal(begin, begin + timedelta(days=365)) == begin + timedelta(hours=24)
