"""Tokens of service accounts, verified by somebody who knows only what the issuer publishes."""

import aiohttp
import jwt


async def test_a_token_is_verified_with_the_published_keys(admin: aiohttp.ClientSession) -> None:
    async with admin.get("/.well-known/openid-configuration") as response:
        issuer = await response.json()
    async with admin.get(issuer["jwks_uri"]) as response:
        assert response.content_type == "application/jwk-set+json"
        keys = jwt.PyJWKSet.from_dict(await response.json(content_type=None))
    path = "/api/v1/namespaces/default/serviceaccounts"
    async with admin.post(path, json={"metadata": {"name": "robot"}}) as response:
        assert response.status == 201
    body = {"spec": {"audiences": ["vault"], "expirationSeconds": 3600}}
    async with admin.post(f"{path}/robot/token", json=body) as response:
        token = (await response.json())["status"]["token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="vault", issuer=issuer["issuer"])
    assert claims["sub"] == "system:serviceaccount:default:robot"


async def test_service_accounts_may_read_the_issuer_and_others_may_not(admin: aiohttp.ClientSession) -> None:
    impersonated = {"Impersonate-User": "system:serviceaccount:default:robot"}
    groups = {**impersonated, "Impersonate-Group": "system:serviceaccounts"}
    for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
        async with admin.get(path, headers=groups) as response:
            assert response.status == 200
        async with admin.get(path, headers={"Impersonate-User": "ann"}) as response:
            assert response.status == 403
