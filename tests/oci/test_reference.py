import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.oci import InvalidReferenceError, Reference
from proa.oci.reference import is_loopback, is_repository

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "docker.io/library/hello:latest"),
        ("hello:1", "docker.io/library/hello:1"),
        ("me/hello", "docker.io/me/hello:latest"),
        ("docker.io/hello", "docker.io/library/hello:latest"),
        ("index.docker.io/hello", "docker.io/library/hello:latest"),
        ("localhost/hello", "localhost/hello:latest"),
        ("localhost:5050/hello:1", "localhost:5050/hello:1"),
        ("127.0.0.1:5050/a/b/c:v1.2-3_4", "127.0.0.1:5050/a/b/c:v1.2-3_4"),
        ("[::1]:5050/hello", "[::1]:5050/hello:latest"),
        ("[2001:db8::1]/hello", "[2001:db8::1]/hello:latest"),
        ("Registry/hello", "Registry/hello:latest"),
        ("ghcr.io/org/some-repo.with_many__separators---ok", None),
        (f"ghcr.io/org/app@{SHA256}", f"ghcr.io/org/app@{SHA256}"),
        (f"ghcr.io/org/app:1@{SHA512}", f"ghcr.io/org/app:1@{SHA512}"),
        (f"hello@{SHA256}", f"docker.io/library/hello@{SHA256}"),
        ("hello:" + "a" * 128, "docker.io/library/hello:" + "a" * 128),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, expected: str | None) -> None:
    assert str(Reference.parse(text)) == (expected or f"{text}:latest")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Hello", "must be lower case: 'library/hello'"),
        ("localhost:5050/Hello", "must be lower case: 'hello'"),
        ("hello:", "'' is not a tag"),
        ("hello:-x", "'-x' is not a tag"),
        ("hello:" + "a" * 129, "longer than 128"),
        ("hello:a:b", "'a:b' is not a tag"),
        ("hello@", "is not a digest"),
        ("hello@md5:" + "0" * 32, "'md5' is not supported"),
        ("hello@sha256:" + "0" * 63, "64 lower-case hex digits"),
        ("hello@sha256:" + "A" * 64, "64 lower-case hex digits"),
        (f"hello@{SHA256}@{SHA256}", "is not a digest"),
        ("localhost:5050/", "'' is not a component"),
        ("localhost:99999/x", "port 99999"),
        ("localhost:0/x", "port 0"),
        ("localhost:http/x", "is not a registry"),
        ("-bad.example/x", "is not a registry"),
        ("[::g]/x", "is not a registry"),
        ("[1:2]/x", "is not an IPv6 address"),
        ("a//b", "'' is not a component"),
        ("/hello", "'' is not a component"),
        ("hello/", "'' is not a component"),
        ("a/../b", "'..' is not a component"),
        ("a/.b", "'.b' is not a component"),
        ("a___b", "'a___b' is not a component"),
        ("x.io/" + "a/" * 127 + "aa", "longer than 255"),
        ("he llo", "'he llo' is not a component"),
        ("hello\n", "is not a component"),
        ("hello:1\n", "is not a tag"),
        ("https://ghcr.io/hello", "is not a registry|component"),
        ("0123456789abcdef" * 4, "image id"),
        ("ärger", "is not a component"),
    ],
)
def test_what_is_wrong_with_a_reference_is_said(text: str, reason: str) -> None:
    with pytest.raises(InvalidReferenceError, match=reason) as caught:
        Reference.parse(text)
    assert "\n" not in str(caught.value)


def test_a_tag_that_looks_like_a_port_stays_a_tag() -> None:
    assert Reference.parse("localhost:5050") == Reference("docker.io", "library/localhost", "5050")


def test_a_reference_is_checked_when_built_by_hand() -> None:
    for parts in [("docker.io", "hello", "1"), ("myhost", "x", "1"), ("x.io", "x"), ("x.io", "../x", "1")]:
        with pytest.raises(InvalidReferenceError):
            Reference(*parts)


def test_the_digest_decides_what_is_asked_for() -> None:
    reference = Reference.parse("hello:1")
    assert (reference.identifier, reference.at(SHA256).identifier) == ("1", SHA256)
    assert reference.at(SHA256).tag == "1"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1:5", "127.9.8.7", "[::1]:5", "LOCALHOST"]
)
def test_this_machine_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["example.com", "128.0.0.1", "localhost.example.com", "127.0.0.1.nip.io", "[::2]"]
)
def test_other_machines_are_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)


LABELS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.just("localhost"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.lists(LABELS, min_size=2, max_size=4).map(".".join),
)
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
REPOSITORIES = st.lists(
    st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True),
    min_size=2,
    max_size=4,
).map("/".join)
TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", fullmatch=True)
DIGESTS = st.one_of(
    st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format),
    st.text("0123456789abcdef", min_size=128, max_size=128).map("sha512:{}".format),
)


@given(HOSTS, PORTS, REPOSITORIES, st.one_of(st.none(), TAGS), st.one_of(st.none(), DIGESTS))
def test_what_is_written_is_read_back_equal(
    host: str, port: str, repository: str, tag: str | None, digest: str | None
) -> None:
    reference = Reference(host + port, repository, "x" if tag is None and digest is None else tag, digest)
    assert Reference.parse(str(reference)) == reference


@given(st.one_of(st.text(max_size=40), st.text(string.ascii_lowercase + ":/@.[]-_0AB", max_size=40)))
def test_any_text_is_either_refused_or_read_to_a_fixed_point(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReferenceError:
        return
    assert Reference.parse(str(reference)) == reference
    assert is_repository(reference.repository)
    assert ".." not in reference.repository.split("/")
