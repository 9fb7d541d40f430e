"""DPoP (RFC 9449): what a proof says, how nonces are learned, and that a proof is never used twice."""

import hashlib
import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwk, jwt

import tokenlatch.requests
from tests.doors.platforms import CLIENTS, Clock
from tokenlatch import ClientCredentials, TokenSource, errors
from tokenlatch.providers import Attach
from tokenlatch.testing._http import Response
from tokenlatch.testing._simulator import Simulator, as_json

KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)


class Bound(Simulator):
    """A server whose tokens are bound to a key, and which may ask for a nonce at either endpoint."""

    def __init__(self, clock):
        super().__init__(clock)
        self.nonce = {"/token": None, "/api": None}
        self.number = 0
        self.proofs = []
        self._paths = {"/token": self._token, "/api": self._api}

    def _proof(self, request, token=None):
        """Return the claims of a proof that is right in everything but perhaps its nonce."""
        proof = jwt.decode(request.headers["dpop"], jwk.ECKey.import_key(KEY), algorithms=["ES256"])
        claims = proof.claims
        public = jwk.ECKey.import_key(KEY).as_dict(private=False)
        assert proof.header["typ"] == "dpop+jwt"
        assert {name: public[name] for name in ("kty", "crv", "x", "y")} == proof.header["jwk"]
        assert claims["htm"] == request.method
        assert claims["htu"] == f"{self.url}{request.path}"
        assert claims["iat"] == int(self.now())
        assert claims["jti"] not in self.proofs
        self.proofs.append(claims["jti"])
        if token:
            digest = hashlib.sha256(token.encode()).digest()
            assert claims["ath"] == urlsafe_b64encode(digest).rstrip(b"=").decode()
        return claims

    def _token(self, request):
        if self._proof(request).get("nonce") != self.nonce["/token"]:
            headers = {"DPoP-Nonce": self.nonce["/token"]}
            return as_json(400, {"error": "use_dpop_nonce"}, headers)
        self.number += 1
        token = {"access_token": f"T{self.number}", "token_type": "DPoP", "expires_in": 3600}
        return as_json(200, token)

    def _api(self, request):
        scheme, _, token = (request.authorization or "").partition(" ")
        if self._proof(request, token).get("nonce") != self.nonce["/api"]:
            challenge = 'DPoP error="use_dpop_nonce"'
            headers = {"DPoP-Nonce": self.nonce["/api"], "WWW-Authenticate": challenge}
            return Response(401, headers)
        if (scheme, token) != ("DPoP", f"T{self.number}"):
            return Response(401, {"WWW-Authenticate": 'DPoP error="invalid_token"'})
        return Response(200, {}, request.body)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with Bound(clock) as server:
        yield server


@pytest.fixture
def source(server, clock):
    grant = ClientCredentials(
        f"{server.url}/token", client_id="app", client_secret="S3CRET", dpop=KEY
    )
    with TokenSource(grant, clock=clock) as source:
        yield source


def paths(server):
    return [request.path for request in server.requests]


@CLIENTS
def test_each_request_has_a_proof_of_its_own(server, source, make):
    """Method, address without query, time, token, and an id that never comes twice."""
    with make(source, server.url) as client:
        for _ in range(2):
            assert client.post(f"{server.url}/api?a=1#b", data={"c": "d"}).text == "c=d"
    assert paths(server) == ["/token", "/api", "/api"]


@CLIENTS
def test_nonces_are_learned_per_server_and_kept(server, source, make):
    """One more request for the first, none after it; the token is not refreshed for it."""
    server.nonce = {"/token": "n1", "/api": "n1"}
    with make(source, server.url) as client:
        assert client.post(f"{server.url}/api", data={"c": "d"}).text == "c=d"
        server.nonce["/api"] = "n2"
        assert client.post(f"{server.url}/api", data={"c": "d"}).text == "c=d"
        assert client.post(f"{server.url}/api", data={"c": "d"}).text == "c=d"
    assert paths(server) == ["/token", "/token", "/api", "/api", "/api", "/api"]


@CLIENTS
def test_a_refused_token_is_replaced(server, source, make):
    """A nonce and a dead token at once: both are mended, in this order."""
    with make(source, server.url) as client:
        assert client.get(f"{server.url}/api").status_code == 200
        server.number += 1
        server.nonce["/api"] = "n1"
        server.nonce["/token"] = "n1"
        assert client.get(f"{server.url}/api").status_code == 200
    assert paths(server) == ["/token", "/api", "/api", "/api", "/token", "/api"]


def test_a_server_that_never_has_enough_of_nonces_is_left(server, source):
    """A second refusal with the same nonce is final: no loop."""
    server.nonce["/token"] = "n1"
    answer = server._token

    def never(request):
        server.nonce["/token"] = "other"
        refused = answer(request)
        server.nonce["/token"] = "n1"
        refused.headers["DPoP-Nonce"] = "n1"
        return refused

    server._paths["/token"] = never
    with pytest.raises(errors.ProviderError, match="use_dpop_nonce"):
        source.token()
    assert paths(server) == ["/token", "/token"]


def test_a_secret_is_no_key(server, clock):
    """DPoP needs a key pair."""
    for wrong in (
        "a shared secret",
        json.dumps({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}),
    ):
        grant = ClientCredentials(
            f"{server.url}/token", client_id="app", client_secret="S3CRET", dpop=wrong
        )
        with pytest.raises(errors.ConfigurationError, match="DPoP"):
            TokenSource(grant, clock=clock).token()


def test_another_place_does_not_fit(source, server):
    """The proof is for a header of its own."""
    with pytest.raises(errors.ConfigurationError, match="DPoP"):
        tokenlatch.requests.BearerAuth(source, server.url, attach=Attach("query", "token"))


def test_the_key_does_not_show(source):
    """In no repr."""
    assert "PRIVATE" not in repr(source)
    assert "PRIVATE" not in repr(vars(source.grant.dpop))
