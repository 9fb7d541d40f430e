"""Signed assertions: a client that proves itself, or a grant, by a JWT (RFC 7523).

Law: pure; signing is joserfc's work, the clock's reading comes in as ``now``.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from tokenlatch._frozen import Frozen
from tokenlatch.errors import ConfigurationError

if TYPE_CHECKING:
    from joserfc.jwk import Key

CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PUBLIC: Final = {"kty", "crv", "x", "y", "n", "e"}
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class Assertion(Frozen):
    """How an assertion is signed.

    Attributes:
        alg: Algorithm, such as ``PS256``; default: RS256, ES256... or EdDSA by the key, HS256 for a secret.
        kid: Key id in the header; default: the JWK's own, if the key is one.
        audience: ``aud``; default: the token endpoint, whichever endpoint it is sent to.
        lifetime: Seconds that it is good for.
    """

    alg: str | None = None
    kid: str | None = None
    audience: str | None = None
    lifetime: float = 60.0


def client_assertion(
    client_id: str, key: str, how: Assertion | None, audience: str, now: float
) -> dict[str, str]:
    """Return the form fields by which a client proves itself (RFC 7523 section 2.2).

    Args:
        client_id: Issuer and subject.
        key: Private key as PEM or JWK, or the client's secret.
        how: How to sign.
        audience: ``aud``, unless ``how`` names one.
        now: Seconds since the epoch.

    Raises:
        ConfigurationError: The key cannot be used.
    """
    how = how or Assertion()
    claims = {"iss": client_id, "sub": client_id, "aud": how.audience or audience}
    return {
        "client_id": client_id,
        "client_assertion_type": CLIENT_ASSERTION,
        "client_assertion": signed(claims, key, how, now),
    }


def signed(claims: Mapping[str, object], key: str, how: Assertion, now: float) -> str:
    """Return these claims as a JWT with ``iat``, ``exp`` and a ``jti`` of its own.

    Raises:
        ConfigurationError: The key cannot be used.
    """
    _require_joserfc()
    loaded, usual = _load(key)
    kid = how.kid or loaded.kid
    header = {"alg": how.alg or usual, "typ": "JWT"} | ({"kid": kid} if kid else {})
    return _encoded(header, {**claims, "exp": int(now + how.lifetime)}, loaded, now)


def dpop_proof(claims: Mapping[str, object], key: str, now: float) -> str:
    """Return a DPoP proof with ``iat`` and a ``jti`` of its own (RFC 9449 section 4.2).

    Raises:
        ConfigurationError: The key cannot be used.
    """
    _require_joserfc()
    loaded, alg = _load(key)
    if loaded.key_type == "oct":
        raise ConfigurationError("DPoP needs a private key, as PEM or JWK: a secret would not do.")
    public = {
        name: value for name, value in loaded.as_dict(private=False).items() if name in _PUBLIC
    }
    return _encoded({"alg": alg, "typ": "dpop+jwt", "jwk": public}, claims, loaded, now)


def _encoded(
    header: Mapping[str, object], claims: Mapping[str, object], key: "Key", now: float
) -> str:
    from joserfc import jwt
    from joserfc.errors import JoseError

    alg = str(header["alg"])
    stamps = {"iat": int(now), "jti": secrets.token_urlsafe(16)}
    try:
        return jwt.encode(dict(header), {**claims, **stamps}, key, algorithms=[alg])
    except (JoseError, ValueError, TypeError) as problem:
        said = type(problem).__name__
    message = (
        f"The assertion could not be signed with {alg} ({said}): does the key fit the algorithm?"
    )
    raise ConfigurationError(message)


def _require_joserfc() -> None:
    if find_spec("joserfc") is None:
        message = "Assertions need the library joserfc: pip install 'tokenlatch[jwt]'."
        raise ConfigurationError(message)


def _load(key: str) -> "tuple[Key, str]":
    """Return a key and the algorithm that is usual for it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from joserfc import jwk

    if key.lstrip().startswith("{"):
        found = _load_jwk(key)
        if found is None:
            raise ConfigurationError("The JWK for the assertion cannot be read.")
        return found
    if "-----BEGIN" not in key:
        return jwk.OctKey.import_key(key), "HS256"
    plain = None
    with suppress(ValueError, TypeError):  # raised outside: its frames hold the key
        plain = serialization.load_pem_private_key(key.encode(), password=None)
    if plain is None:
        message = (
            "The key for the assertion cannot be read: pass an unencrypted PEM, a JWK, or a secret."
        )
        raise ConfigurationError(message)
    if isinstance(plain, rsa.RSAPrivateKey):
        return jwk.RSAKey.import_key(key), "RS256"
    if isinstance(plain, ec.EllipticCurvePrivateKey):
        return jwk.ECKey.import_key(key), _CURVES.get(plain.curve.name, "ES256")
    return jwk.OKPKey.import_key(key), "EdDSA"


def _load_jwk(key: str) -> "tuple[Key, str] | None":
    """Return a JWK and its algorithm; None: it is none. Raises nothing, for its frame holds the key."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    usual = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}
    with suppress(ValueError, TypeError, KeyError, JoseError):
        raw = json.loads(key)
        loaded = JWKRegistry.import_key(raw)
        curve = {"P-384": "ES384", "P-521": "ES512"}.get(raw.get("crv", ""))
        return loaded, raw.get("alg") or curve or usual[raw["kty"]]
    return None
