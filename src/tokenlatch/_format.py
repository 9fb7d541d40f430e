"""The state as JSON: what stores keep.

Law: pure. A damaged text is told from a foreign one, and no error shows or keeps what was in it. A
field inside ``tokens``, ``intent``, ``failure`` or ``identity`` that is new needs a new format number.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from tokenlatch._frozen import Frozen
from tokenlatch._state import (
    Failure,
    Holder,
    Identity,
    Intent,
    SecretBytes,
    State,
    TokenSet,
    is_instant,
)
from tokenlatch.errors import ConfigurationError, StoreError

FORMAT: Final = 1

_TEXT: Final = json.JSONEncoder(default=str, separators=(",\n ", ": ")).encode
"""A line for each value, for people; with ``indent`` the encoder would be the slow one."""

_SORTED_TEXT: Final = json.JSONEncoder(default=str, sort_keys=True).encode


def to_json(state: State) -> SecretBytes:
    """Return the state as JSON with its format number and a checksum.

    Whatever a ``Custom`` login put into ``extra`` goes in, as text if need be: a token in hand must
    not be lost over it.
    """
    known = _plain(state)
    del known["unknown"]
    body = {**state.unknown, "format": FORMAT, **known}
    body["checksum"] = _checksum(body)
    return SecretBytes(_TEXT(body).encode() + b"\n")


def from_json(text: bytes) -> State:
    """Read a state.

    Raises:
        StoreError: A newer tokenlatch wrote it, or it is encrypted; the message continues after
            the file's name.
        ValueError: It is damaged; the message says how, and shows nothing of the content.
    """
    # Nothing is raised inside an except block: the error's context would hold frames with tokens.
    body = _object(text)
    if body is None:
        raise ValueError("is empty" if not text.strip(b"\0 \n") else "is not a JSON object")
    if "sealed" in body:
        raise StoreError("is encrypted: give the FileStore the encryption= that wrote it")
    version = body.pop("format", None)
    if isinstance(version, int) and version > FORMAT:
        message = f"has format {version}, written by a newer tokenlatch; this one knows {FORMAT}: upgrade it"
        raise StoreError(message)
    state = _state(body) if version == FORMAT else None
    if state is None:
        raise ValueError(
            "has missing or malformed fields" if version == FORMAT else "has no known format number"
        )
    return state


def is_whole(text: bytes) -> bool:
    """Tell whether this JSON carries the right checksum, so was written to its end."""
    body = _object(text)
    return body is not None and body.pop("checksum", None) == _checksum(body)


_NAMES = State._fields.keys() - {"unknown"}


def _plain(record: Frozen) -> dict[str, object]:
    return {
        name: _plain(value) if isinstance(value, Frozen) else value
        for name, value in vars(record).items()
    }


def _object(text: bytes) -> dict[str, object] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _state(body: dict[str, Any]) -> State | None:
    body.pop("checksum", None)
    known = {name: body.pop(name) for name in _NAMES & body.keys()}
    try:
        return State(
            identity=Identity(**known["identity"]),
            generation=_whole(known["generation"]),
            tokens=known.get("tokens") and TokenSet(**known["tokens"]),
            intent=known.get("intent") and _intent(known["intent"]),
            failure=known.get("failure") and _failure(known["failure"]),
            unproven=bool(known.get("unproven")),
            unknown=body,
        )
    except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError):
        return None


def _intent(raw: dict[str, Any]) -> Intent:
    intent = Intent(holder=Holder(**raw.pop("holder")), **raw)
    return _timed(intent, intent.at, intent.since or 0.0)


def _failure(raw: dict[str, Any]) -> Failure:
    failure = Failure(**raw)
    return _timed(failure, failure.at, failure.retry_at or 0.0)


_T = TypeVar("_T")


def _timed(record: _T, *instants: object) -> _T:
    if None in instants or not all(map(is_instant, instants)):
        raise ValueError("instant")
    return record


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("generation")


def _checksum(body: Mapping[str, object]) -> str:
    return hashlib.sha256(_SORTED_TEXT(body).encode()).hexdigest()[:16]
