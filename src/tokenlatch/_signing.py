"""RSA signatures over parameters and over answers, as Alipay's gateway and its kin want them.

Law: pure; text in, text out. The signed text is what goes over the wire: nothing is serialised a second time.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tokenlatch.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

SignType: TypeAlias = Literal["RSA2", "RSA"]
"""RSA2 is SHA-256 with RSA, RSA is SHA-1 with RSA; both PKCS#1 v1.5."""

_DIGESTS: Final[Mapping[str, str]] = {"RSA2": "SHA256", "RSA": "SHA1"}
_SPACE: Final = " \t\r\n"


def canonical(params: Mapping[str, str], signature: str = "sign") -> str:
    """Return the text to sign: ``name=value`` sorted and joined by ``&``, values raw.

    The parameter with the signature is left out, and empty ones are.

    Example:
        >>> canonical({"b": "2 3", "a": "1", "sign": "...", "c": ""})
        'a=1&b=2 3'
    """
    return "&".join(
        f"{name}={value}" for name, value in sorted(params.items()) if value and name != signature
    )


def sign(text: str, private_key: str, sign_type: SignType = "RSA2") -> str:
    """Return the signature over a text in UTF-8, as base64 on one line.

    Args:
        text: What to sign.
        private_key: PKCS#8 or PKCS#1, as PEM or bare base64.
        sign_type: The digest.

    Raises:
        ConfigurationError: That is no RSA private key, or cryptography is not installed.
    """
    key = _private(private_key)
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    return b64encode(key.sign(text.encode(), PKCS1v15(), _digest(sign_type))).decode()


def verify(text: str, signature: str, public_key: str, sign_type: SignType = "RSA2") -> bool:
    """Tell whether a base64 signature is over this text.

    Args:
        text: The text as it came, not as it was read.
        signature: Base64.
        public_key: SubjectPublicKeyInfo, as PEM or bare base64.
        sign_type: The digest.

    Raises:
        ConfigurationError: That is no RSA public key, or cryptography is not installed.
    """
    key = _public(public_key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    try:
        key.verify(
            b64decode(signature, validate=True), text.encode(), PKCS1v15(), _digest(sign_type)
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def check_public_key(public_key: str) -> None:
    """Refuse a key that ``verify`` could not use.

    Raises:
        ConfigurationError: That is no RSA public key, or cryptography is not installed.
    """
    _public(public_key)


def members(raw: str) -> dict[str, str]:
    """Return the members of a JSON object, each value as the very text that was sent.

    Searching for ``"sign"`` would stop at a business field of that name, so the text is scanned.

    Raises:
        ValueError: It is no JSON object, or has a member twice, which two readers may read in two ways.
    """
    decoder, found = json.JSONDecoder(), dict[str, str]()
    at = _after(raw, 0, "{")
    while raw[at : at + 1] != "}":
        name, end = decoder.raw_decode(raw, at)
        begin = _after(raw, _skip(raw, end), ":")
        _, end = decoder.raw_decode(raw, begin)
        if not isinstance(name, str) or name in found:
            raise ValueError("a member twice")
        found[name] = raw[begin:end]
        at = _skip(raw, end)
        if raw[at : at + 1] != "}":
            at = _after(raw, at, ",")
            if raw[at : at + 1] != '"':
                raise ValueError("no member after a comma")
    if raw[at + 1 :].strip(_SPACE):
        raise ValueError("text after the object")
    return found


def _after(raw: str, at: int, mark: str) -> int:
    at = _skip(raw, at)
    if raw[at : at + 1] != mark:
        raise ValueError(f"no {mark!r} where one should be")
    return _skip(raw, at + 1)


def _skip(raw: str, at: int) -> int:
    while raw[at : at + 1] and raw[at] in _SPACE:
        at += 1
    return at


def _digest(sign_type: SignType) -> "HashAlgorithm":
    from cryptography.hazmat.primitives import hashes

    kind: type[HashAlgorithm] = getattr(hashes, _DIGESTS[sign_type])
    return kind()


def _der(key: str) -> bytes:
    """Return the bytes of a key; what the dashes say is not believed: SOP's SDKs glue them around anything."""
    lines = [line.strip() for line in key.strip().splitlines()]
    bare = "".join(line for line in lines if line and not line.startswith("-----"))
    return b64decode(bare, validate=True)


@lru_cache(maxsize=8)  # to check a key takes longer than to sign with it
def _private(text: str) -> "RSAPrivateKey":
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        key = serialization.load_der_private_key(_der(text), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        message = (
            "The private key is no RSA key that can be read: pass PKCS#8 or PKCS#1, "
            "as PEM or bare base64, not encrypted."
        )
        raise ConfigurationError(message)
    return key


@lru_cache(maxsize=8)
def _public(text: str) -> "RSAPublicKey":
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        key = serialization.load_der_public_key(_der(text))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        message = (
            "The platform key is no RSA public key that can be read: pass it as PEM or bare base64."
        )
        raise ConfigurationError(message)
    return key


def _require_cryptography() -> None:
    if find_spec("cryptography") is None:
        message = "Signing needs the library cryptography: pip install 'tokenlatch[sop]'."
        raise ConfigurationError(message)
