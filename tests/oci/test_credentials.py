import base64

import msgspec
import pytest

from proa.oci import Credentials, InvalidCredentialsError, parse_docker_config
from proa.oci._auth import Challenge, parse_challenges
from proa.oci.credentials import find, fits


def config(auths: object) -> bytes:
    return msgspec.json.encode({"auths": auths, "credsStore": "ignored"})


def test_credentials_are_read_from_auth_and_from_fields() -> None:
    found = parse_docker_config(
        config(
            {
                "https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:pa:ss").decode()},
                "ghcr.io/org": {"username": "you", "password": "word", "auth": "ignored"},
                "http://localhost:5050": {"username": "x", "password": "y"},
                "helper.example": {},
            }
        )
    )
    assert found == {
        "docker.io": Credentials("me", "pa:ss"),
        "ghcr.io/org": Credentials("you", "word"),
        "localhost:5050": Credentials("x", "y"),
    }


@pytest.mark.parametrize("content", [b"", b"[]", b'{"auths": []}', b'{"auths": {"x": {"auth": 1}}}', b"\xff"])
def test_what_is_no_docker_configuration_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidCredentialsError, match="not a Docker configuration"):
        parse_docker_config(content)


@pytest.mark.parametrize("auth", ["%%%", base64.b64encode(b"nocolon-secret").decode(), "////"])
def test_a_broken_entry_is_named_but_not_shown(auth: str) -> None:
    with pytest.raises(InvalidCredentialsError, match=r"'x\.example'") as caught:
        parse_docker_config(config({"x.example": {"auth": auth}}))
    assert auth not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_most_specific_credentials_win() -> None:
    outer, inner = Credentials("outer", ""), Credentials("inner", "")
    known = {"x.io": outer, "x.io/a/b": inner}
    assert find(known, "x.io", "a/b/c") == inner
    assert find(known, "x.io", "a/bc") == outer
    assert find(known, "y.io", "a/b") is None


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(Credentials("me", "hunter2"))


def test_challenges_are_read_however_they_are_written() -> None:
    headers = [
        'Bearer realm="https://auth.example/token?a=b,c",service=reg , scope="repository:x:pull,push"',
        'Negotiate, Basic realm="say \\"hi\\"", Digest nonce=1',
    ]
    assert parse_challenges(headers) == [
        Challenge(
            "bearer",
            {
                "realm": "https://auth.example/token?a=b,c",
                "service": "reg",
                "scope": "repository:x:pull,push",
            },
        ),
        Challenge("negotiate", {}),
        Challenge("basic", {"realm": 'say "hi"'}),
        Challenge("digest", {"nonce": "1"}),
    ]


@pytest.mark.parametrize("header", ["", ",,,", "=", 'realm="x"', "Bearer realm=", '"', "Bearer " * 1000])
def test_malformed_challenges_are_survived(header: str) -> None:
    assert all(challenge.scheme == "bearer" for challenge in parse_challenges([header]))


@pytest.mark.parametrize(
    ("pattern", "image", "expected"),
    [
        ("*.registry.io", "eu.registry.io/a", True),
        ("*.registry.io", "registry.io/a", False),
        ("*.*.registry.io", "a.b.registry.io/a", True),
        ("registry.io:8080/path", "registry.io:8080/path/image", True),
        ("registry.io:8080/path", "registry.io:8080/pathology", False),
        ("registry.io:8080", "registry.io/a", False),
        ("https://123.dkr.*.aws.com", "123.dkr.eu.aws.com/a", True),
        ("*", "localhost/a", True),
        ("*", "registry.io/a", False),
    ],
)
def test_a_pattern_stands_for_hosts_label_by_label(pattern: str, image: str, expected: bool) -> None:
    registry, _, repository = image.partition("/")
    assert fits(pattern, registry, repository) == expected
    known = {pattern.removeprefix("https://"): Credentials("a", "b")}
    assert (find(known, registry, repository) is not None) == expected
