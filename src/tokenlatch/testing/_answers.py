"""What the token endpoint has to say, and its writing as RFC 6749 sections 5.1 and 5.2 want it.

Law: pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenlatch.testing._http import Response

if TYPE_CHECKING:
    from tokenlatch.testing._book import Payload

OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON object, not yet written down."""

    status: int
    payload: Payload
    headers: dict[str, str] = field(default_factory=dict)

    def respond(self) -> Response:
        """Write it as it should be."""
        return respond(self.status, json.dumps(self.payload).encode(), headers=self.headers)


def respond(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a response with the headers that every answer of a token endpoint has."""
    always = {"Content-Type": content_type, "Cache-Control": "no-store"}
    return Response(status, always | (headers or {}), body)
