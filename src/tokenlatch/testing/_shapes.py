"""The odd shapes in which real token endpoints answer.

Law: pure. A shape takes the right answer and returns the odd one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlencode

from tokenlatch.testing._answers import Answer, respond

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._book import Payload
    from tokenlatch.testing._http import Response

ShapeName: TypeAlias = Literal[
    # Errors. Nothing is committed unless told so; a real refusal keeps its own error word.
    "array_error",
    "empty_error",
    "error_in_200",
    "error_object",
    "invalid_grant_401",
    # Right, but for one thing: a dead refresh token is an invalid_request.
    "invalid_request_for_dead",
    # Tokens without a new refresh token: the old one lives on.
    "empty_refresh_token",
    "no_refresh_token",
    "same_refresh_token",
    # Tokens, committed, with a field that is missing or odd.
    "expires_in_missing",
    "expires_in_negative",
    "expires_in_null",
    "expires_in_string",
    "expires_in_words",
    "no_access_token",
    "no_token_type",
    # Tokens, committed, in another writing.
    "bom",
    "form_encoded",
    "json_array",
    "latin1",
    "not_json",
    "simplejwt",
]

ERRORS = {"array_error", "empty_error", "error_in_200", "error_object", "invalid_grant_401"}
KEEPING = {"empty_refresh_token", "no_refresh_token", "same_refresh_token"}


def _with(**fields: object) -> Callable[[Answer], Response]:
    """Set fields of a token answer; an error stays as it is."""
    return _changed(lambda payload: payload | fields)


def _without(name: str) -> Callable[[Answer], Response]:
    return _changed(lambda payload: {k: v for k, v in payload.items() if k != name})


def _changed(change: Callable[[Payload], Payload]) -> Callable[[Answer], Response]:
    def shape(answer: Answer) -> Response:
        if "access_token" not in answer.payload:
            return answer.respond()
        return replace(answer, payload=change(answer.payload)).respond()

    return shape


def _written(
    write: Callable[[Payload], bytes], content_type: str = "application/json"
) -> Callable[[Answer], Response]:
    return lambda answer: respond(answer.status, write(answer.payload), content_type)


def _error(change: Callable[[Payload], object]) -> Callable[[Answer], Response]:
    """Put something else where the error word belongs."""
    return lambda answer: Answer(answer.status, {"error": change(answer.payload)}).respond()


def _invalid_request(answer: Answer) -> Response:
    if answer.payload.get("error") == "invalid_grant":
        answer = replace(answer, payload=answer.payload | {"error": "invalid_request"})
    return answer.respond()


SHAPES: dict[ShapeName, Callable[[Answer], Response]] = {
    "array_error": _error(lambda payload: [payload["error"]]),
    "empty_error": _written(lambda _: b""),
    "error_in_200": lambda answer: replace(answer, status=200).respond(),
    "error_object": _error(
        lambda payload: {"code": payload["error"], "message": payload["error_description"]}
    ),
    "invalid_grant_401": lambda answer: replace(answer, status=401).respond(),
    "invalid_request_for_dead": _invalid_request,
    "empty_refresh_token": _with(refresh_token=""),
    "no_refresh_token": _without("refresh_token"),
    "same_refresh_token": _with(),
    "expires_in_missing": _without("expires_in"),
    "expires_in_negative": _with(expires_in=-1),
    "expires_in_null": _with(expires_in=None),
    "expires_in_string": _changed(
        lambda payload: payload | {"expires_in": str(payload["expires_in"])}
    ),
    "expires_in_words": _with(expires_in="in an hour"),
    "no_access_token": _without("access_token"),
    "no_token_type": _without("token_type"),
    "bom": _written(lambda payload: b"\xef\xbb\xbf" + json.dumps(payload).encode()),
    "form_encoded": _written(
        lambda payload: urlencode(payload).encode(), "application/x-www-form-urlencoded"
    ),
    "json_array": _written(lambda payload: json.dumps([payload]).encode()),
    "latin1": _written(
        lambda payload: json.dumps(payload | {"name": "Zoë"}, ensure_ascii=False).encode("latin-1")
    ),
    "not_json": _written(lambda payload: b"OK " + urlencode(payload).encode()),
    "simplejwt": _changed(
        lambda payload: {"access": payload["access_token"], "refresh": payload.get("refresh_token")}
    ),
}
