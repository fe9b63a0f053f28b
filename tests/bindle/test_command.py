"""`proa bindle` as a person runs it: as processes, against a server that is one, too."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

from proa.bindle.invoice import Id, encode, parse_invoice
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.signing import sign
from proa.bindle.standalone import write_standalone
from proa.bindle.testing import make_invoice, make_label
from proa.cli.testing import proa

CONTENTS = {"barrel.txt": b"a barrel", "deep/crate.txt": b"a crate"}


@pytest.fixture(autouse=True)
def _no_blocking() -> None:
    """Override: nothing here runs on a loop of ours."""


@dataclass
class Person:
    """Somebody with a directory of their own: configuration, cache, files."""

    home: Path
    url: str
    environment: dict[str, str]

    @property
    def keyring(self) -> Path:
        return self.home / "config" / "bindle" / "keyring.toml"

    @property
    def secret_keys(self) -> Path:
        return self.home / "config" / "bindle" / "secret_keys.toml"

    def run(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "BINDLE_URL": self.url,
        }
        return proa("bindle", *words, **given | self.environment | environment)

    def ok(self, *words: str | Path, **environment: str) -> str:
        result = self.run(*words, **environment)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def fails(self, *words: str | Path, **environment: str) -> str:
        result = self.run(*words, **environment)
        assert result.returncode in {1, 2}, result.stdout
        assert "Traceback" not in result.stderr
        return result.stderr


@contextlib.contextmanager
def serving(directory: Path, *words: str | Path, **environment: str) -> Iterator[str]:
    """Run `proa bindle serve` on a free port until the block ends; yields its URL."""
    command = [sys.executable, "-m", "proa.cli", "bindle", "serve", "-i", "127.0.0.1:0"]
    command += ["-d", str(directory / "data"), "-r", str(directory / "keyring.toml"), *map(str, words)]
    variables = {"BINDLE_SIGNING_KEYS": str(directory / "signing-keys.toml")} | environment
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=os.environ | variables, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listens on" in line, (directory / "server.log").read_text()
        yield line.split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0, (directory / "server.log").read_text()
        assert out == ""


def make_person(tmp_path: Path, url: str, name: str = "ada") -> Person:
    home = tmp_path / name
    home.mkdir()
    return Person(home, url, {})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir()
    return tmp_path / "server"


@pytest.fixture
def author(tmp_path: Path, directory: Path) -> Iterator[Person]:
    """Somebody with a key that a running server trusts, who trusts that server's."""
    person = make_person(tmp_path, "")
    ada = create_key(person, "Ada <ada@example.com>")
    Keyring.of(ada.public()).save(directory / "keyring.toml")
    with serving(directory, "--unauthenticated") as url:
        person.url = url
        host = SecretKeys.load(directory / "signing-keys.toml").find("host")
        Keyring.of(ada.public(), host.public()).save(person.keyring)
        yield person


def create_key(person: Person, label: str) -> SecretKey:
    key = SecretKey.generate(label, ["creator"])
    SecretKeys.of(key).save(person.secret_keys)
    return key


def standalone(person: Person, bindle: str) -> Path:
    """Write a standalone bindle that the person has signed; return the directory that holds it."""
    place = person.home / "standalone"
    place.mkdir(exist_ok=True)
    key = SecretKeys.load(person.secret_keys).find("creator")
    for name, content in CONTENTS.items():
        (person.home / Path(name).name).write_bytes(content)
    invoice = sign(make_invoice(bindle, CONTENTS), key, "creator", 1)
    write_standalone(place, invoice, lambda label: person.home / Path(label.name).name)
    return place


@contextlib.contextmanager
def ending(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a program until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextlib.contextmanager
def proa_registry(directory: Path) -> Iterator[str]:
    words = ["registry", "--port", "0", "--data-dir", str(directory)]
    with ending([sys.executable, "-m", "proa.cli", *words]) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rpartition("//")[2]


@contextlib.contextmanager
def docker_registry(directory: Path) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(directory)}}
    config = directory.with_suffix(".yml")
    config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    with ending(["docker-registry", "serve", str(config)]):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(address.split(":")):  # type: ignore[arg-type]
                yield address
                return
            time.sleep(0.02)
        pytest.fail("docker-registry does not answer")


@pytest.mark.parametrize("registry", [proa_registry, docker_registry])
def test_a_bindle_goes_through_an_oci_registry(
    author: Person, tmp_path: Path, registry: Callable[[Path], AbstractContextManager[str]]
) -> None:
    bindle = "example.com/cargobay/1.0.0"
    author.ok("push", bindle, "-p", standalone(author, bindle))
    invoice = author.ok("info", bindle)
    with registry(tmp_path / "registry") as address:
        assert "@sha256:" in author.ok("push-oci", bindle, f"{address}/cargobay:1")
        there = Path(author.ok("pull-oci", f"{address}/cargobay:1", "-e", tmp_path).strip())
        assert "has no manifest" in author.fails("pull-oci", f"{address}/cargobay:2", "-e", tmp_path)
    assert parse_invoice((there / "invoice.toml").read_bytes()) == parse_invoice(invoice.encode())
    assert sorted(path.read_bytes() for path in (there / "parcels").iterdir()) == sorted(CONTENTS.values())


def test_a_bindle_is_pushed_found_and_fetched(author: Person) -> None:
    bindle = "example.com/cargobay/1.0.0"
    place = standalone(author, bindle)
    assert "stored; 2 of 2 parcels uploaded" in author.ok("push", bindle, "-p", place)
    assert "was there already; 0 of 2" in author.ok("push", bindle, "-p", place)
    assert author.ok("search", "-q", "cargo") == "example.com/cargobay\t1.0.0\t\t\n"
    found = json.loads(author.ok("search", "-q", "cargo", "-b", "^1.0", "--format", "json"))
    assert (found["total"], found["invoices"][0]["bindle"]["name"]) == (1, "example.com/cargobay")
    out = author.home / "out"
    author.ok("get", bindle, "-e", out)
    assert {name: (out / name).read_bytes() for name in CONTENTS} == CONTENTS
    assert "nothing is overwritten" in author.fails("get", bindle, "-e", out)
    author.ok("get-invoice", bindle, "-o", author.home / "got.toml")
    got = parse_invoice((author.home / "got.toml").read_bytes())
    assert [s.role for s in got.signatures or []] == ["creator", "host"]
    label = got.labels[0]
    author.ok("get-parcel", bindle, label.sha256, "-o", author.home / "parcel")
    assert (author.home / "parcel").read_bytes() == CONTENTS[label.name]
    author.ok("clean")
    assert not list((author.home / "cache" / "bindle" / "parcels").iterdir())


def test_a_bindle_is_verified_and_yanked(author: Person) -> None:
    bindle = "example.com/cargobay/1.0.0"
    author.ok("push", bindle, "-p", standalone(author, bindle))
    account = author.ok("verify", bindle)
    assert "creator\tAda <ada@example.com>\tAda <ada@example.com>\tvalid" in account
    assert "satisfies MultipleAttestationGreedy[Host]" in account
    author.ok("yank", bindle, "--reason", "the barrel leaks")
    assert "was yanked: the barrel leaks" in author.fails("info", bindle)
    assert tomllib.loads(author.ok("info", bindle, "-y"))["yanked"] is True
    assert "host (yank)" in author.ok("verify", bindle, "-y")
    assert author.ok("search") == ""
    assert "yanked" in author.ok("search", "--yanked", "true")


def test_an_invoice_and_its_files_are_pushed_one_by_one(author: Person) -> None:
    place = standalone(author, "a/1.0.0")
    invoice = place / Id.parse("a/1.0.0").sha256 / "invoice.toml"
    assert "2 parcels missing" in author.ok("push-invoice", invoice)
    assert "exists" in author.fails("push-invoice", invoice)
    file = author.home / "barrel.txt"
    author.ok("push-file", "a/1.0.0", file)
    (author.home / "other").write_bytes(b"other")
    assert "has no parcel" in author.fails("push-file", "a/1.0.0", author.home / "other")
    assert "was not uploaded yet" in author.fails("get", "a/1.0.0")


def test_a_tarball_is_packed_and_pushed(author: Person) -> None:
    place = standalone(author, "a/1.0.0")
    tarball = author.ok("package", "a/1.0.0", "-p", place, "-e", author.home).strip()
    assert tarball.endswith(f"{Id.parse('a/1.0.0').sha256}.tar.gz")
    assert "2 of 2 parcels uploaded" in author.ok("push", "a/1.0.0", "-p", tarball)


def test_a_label_is_generated_and_keys_are_printed_and_fetched(author: Person, tmp_path: Path) -> None:
    file = author.home / "hello.wasm"
    file.write_bytes(b"hello")
    label = tomllib.loads(author.ok("generate-label", file, "-n", "bin/hello"))
    expected = make_label("bin/hello", b"hello", "application/wasm")
    assert label == {
        "sha256": expected.sha256,
        "mediaType": "application/wasm",
        "name": "bin/hello",
        "size": 5,
    }
    printed = tomllib.loads(author.ok("keys", "print", "-m", "Ada"))
    assert [key["label"] for key in printed["key"]] == ["Ada <ada@example.com>"]
    bob = make_person(tmp_path, author.url, "bob")
    assert "1 keys added" in bob.ok("keys", "fetch", "--host")
    assert Keyring.load(bob.keyring).key[0].roles == ["host"]


def test_a_bindle_by_somebody_unknown_is_refused_by_server_and_client(author: Person, tmp_path: Path) -> None:
    eve = make_person(tmp_path, author.url, "eve")
    create_key(eve, "Eve")
    place = standalone(eve, "a/1.0.0")
    assert "not in the keyring" in eve.fails("push", "a/1.0.0", "-p", place)
    author.ok("push", "a/1.0.0", "-p", standalone(author, "a/1.0.0"))
    assert "not in the keyring" in eve.fails("get", "a/1.0.0")
    assert eve.ok("get", "a/1.0.0", "--strategy", "none")
    verdict = eve.run("verify", "a/1.0.0", "-f", "json")
    assert verdict.returncode == 1
    account = json.loads(verdict.stdout)
    assert (account["satisfied"], [s["knownAs"] for s in account["signatures"]]) == (False, [None, None])
    assert all(s["valid"] for s in account["signatures"])


def test_an_invoice_that_was_changed_is_told_by_verify(author: Person) -> None:
    place = standalone(author, "a/1.0.0")
    path = place / Id.parse("a/1.0.0").sha256 / "invoice.toml"
    digest = make_invoice("a/1.0.0", CONTENTS).labels[0].sha256
    path.write_text(path.read_text().replace(digest, "0" * 64))
    result = author.run("verify", path, "--strategy", "CreativeIntegrity")
    assert result.returncode == 1
    assert "INVALID" in result.stdout
    assert "does not fit the invoice" in result.stdout


def test_keys_are_added_and_rotated(tmp_path: Path) -> None:
    person = make_person(tmp_path, "http://127.0.0.1:9/v1/")
    first = person.ok("keys", "create", "Ada").strip()
    second = person.ok("keys", "create", "Ada").strip()
    assert [entry.key for entry in Keyring.load(person.keyring).key] == [first, second]
    invoice = person.home / "invoice.toml"
    invoice.write_bytes(encode(make_invoice("a/1.0.0", {})))
    person.ok("sign-invoice", invoice, "-o", person.home / "signed.toml")
    signed = parse_invoice((person.home / "signed.toml").read_bytes())
    assert [s.key for s in signed.signatures or []] == [second]
    assert "signed by the key" in person.fails(
        "sign-invoice", person.home / "signed.toml", "-o", person.home / "twice.toml"
    )
    assert "for the role host" in person.fails("sign-invoice", invoice, "--role", "h")
    other = make_person(tmp_path, "", "bob")
    other.ok("keys", "add", "Ada", "creator", second)
    assert other.ok("verify", person.home / "signed.toml", "--strategy", "creativeintegrity")
    assert "not base64" in other.fails("keys", "add", "Ada", "creator", "AAAA")
    assert "is not a role" in other.fails("keys", "create", "x", "--roles", "king")


def test_passwords_and_logins_are_needed_where_a_server_wants_them(
    author: Person, tmp_path: Path, directory: Path
) -> None:
    guarded = tmp_path / "guarded"
    guarded.mkdir()
    hashed = bcrypt.hashpw(b"sw0rdf1sh", bcrypt.gensalt(4)).decode()
    (guarded / "htpasswd").write_text(f"admin:{hashed}\n")
    (guarded / "keyring.toml").write_text((directory / "keyring.toml").read_text())
    place = standalone(author, "a/1.0.0")
    with serving(guarded, "--htpasswd-file", guarded / "htpasswd", "--use-embedded-db") as url:
        push = ("push", "a/1.0.0", "-p", place, "-s", url)
        assert "needs credentials" in author.fails(*push)
        assert "needed together" in author.fails(*push, "--http-user", "admin")
        wrong = {"BINDLE_HTTP_USER": "admin", "BINDLE_HTTP_PASSWORD": "wrong"}
        assert "does not know these credentials" in author.fails(*push, **wrong)
        right = {"BINDLE_HTTP_USER": "admin", "BINDLE_HTTP_PASSWORD": "sw0rdf1sh"}
        assert "2 of 2" in author.ok(*push, **right)
        assert "no identity provider" in author.fails("login", "-s", url)
        assert author.ok("info", "a/1.0.0", "-s", url, "--strategy", "none")


def test_a_proxy_serves_what_its_upstream_has(author: Person, tmp_path: Path) -> None:
    author.ok("push", "a/1.0.0", "-p", standalone(author, "a/1.0.0"))
    proxy = tmp_path / "proxy"
    proxy.mkdir()
    with serving(proxy, "--upstream", author.url) as url:
        out = author.home / "out"
        author.ok("get", "a/1.0.0", "-s", url, "-e", out, "--strategy", "none")
        assert (out / "barrel.txt").read_bytes() == CONTENTS["barrel.txt"]
        assert "only mirrors" in author.fails("yank", "a/1.0.0", "-s", url)


def test_https_is_checked_unless_told_otherwise(
    author: Person, tmp_path: Path, certificate: Callable[[Path], tuple[Path, Path]]
) -> None:
    secure = tmp_path / "secure"
    secure.mkdir()
    chain, key = certificate(secure)
    with serving(secure, "--unauthenticated", "-c", chain, "-k", key) as url:
        assert url.startswith("https://")
        assert "certificate is not trusted" in author.fails("search", "-s", url)
        assert author.ok("search", "-s", url, "--insecure") == ""
        assert author.ok("search", "-s", url, SSL_CERT_FILE=str(chain)) == ""


def test_garbage_is_collected_from_a_directory_that_nobody_serves(author: Person, directory: Path) -> None:
    author.ok("push", "a/1.0.0", "-p", standalone(author, "a/1.0.0"))
    data = directory / "data"
    assert "served by another process" in author.fails("gc", data)


def test_garbage_is_what_no_invoice_names(tmp_path: Path) -> None:
    person = make_person(tmp_path, "")
    orphan = tmp_path / "data" / "parcels" / ("0" * 64)
    orphan.mkdir(parents=True)
    (orphan / "parcel.dat").write_bytes(b"x" * 10)
    assert "1 parcels of 10 bytes would be deleted" in person.ok("gc", tmp_path / "data", "--dry-run")
    assert orphan.exists()
    assert "1 parcels of 10 bytes were deleted" in person.ok("gc", tmp_path / "data")
    assert not orphan.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("serve",), "say who may write"),
        (("serve", "--unauthenticated", "-i", "nowhere"), "is not ADDRESS:PORT"),
        (("serve", "--unauthenticated", "--strategy", "Wishful"), "is not a strategy"),
        (("serve", "--unauthenticated", "-c", "x"), "needed together"),
        (("info", "nonsense"), "expected NAME/VERSION"),
        (("info", "a/1.0.0"), "gives no answer"),
        (("info", "a/1.0.0", "-s", "nonsense"), "is not a server's URL"),
        (("push", "a/1.0.0", "-p", "/nowhere"), "is no standalone bindle"),
        (("push-invoice", "/nowhere"), "can't read /nowhere"),
        (("generate-label", "/nowhere"), "can't read /nowhere"),
        (("keys", "print", "--secrets-file", "/dev/null/x"), "can't read"),
        (("search", "--limit", "0"), "--limit"),
        ((), "usage: proa bindle"),
    ],
)
def test_mistakes_are_told_in_a_line(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    assert told in make_person(tmp_path, "http://127.0.0.1:9/v1/").fails(*words)
