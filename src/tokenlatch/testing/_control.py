"""The switches by HTTP, for tests in other processes: POST a JSON object of arguments to /_control/NAME.

Law: a thin skin; nothing can be done here that the object cannot do.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tokenlatch.testing._http import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._http import Request
    from tokenlatch.testing._server import AuthorizationServer


_OF_SERVER = {"challenge", "token_latency", "api_latency"}


class Control:
    """Answers /_control/NAME for one server; what a switch refuses comes back as 400 and the reason."""

    def __init__(self, server: AuthorizationServer) -> None:
        """Serve the switches of this server."""
        self._server = server
        self._switches: dict[str, Callable[..., Any]] = {
            "counts": lambda: asdict(server.counts),
            "log": self._log,
            "reset": server.reset_counts,
            "issue": server.issue,
            "expire": server.expire_now,
            "revoke": server.revoke_now,
            "fail": server.fail,
            "heal": server.faults.clear,
            "hold": self._hold,
            "release": server.release,
            "arrived": server.arrived,
            "set": self._set,
        }

    def __call__(self, request: Request) -> Response:
        """Throw one switch; its result comes back as JSON."""
        switch = self._switches.get(request.path.removeprefix("/_control/"))
        if switch is None:
            return _answer(404, {"switches": sorted(self._switches)})
        try:
            return _answer(200, switch(**json.loads(request.body or b"{}")))
        except (TypeError, ValueError, TimeoutError) as error:
            return _answer(400, {"error": str(error)})

    def _hold(self, *, committed: bool = False) -> None:
        self._server.gate.shut("after" if committed else "before")

    def _log(self) -> list[dict[str, object]]:
        return [
            {
                "method": each.request.method,
                "target": each.request.target,
                "headers": each.request.headers,
                "body": each.request.body.decode("utf-8", "replace"),
                "status": each.status,
            }
            for each in list(self._server.log)
        ]

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            owner = self._server if name in _OF_SERVER else self._server.book
            if name.startswith("_") or not hasattr(owner, name):
                raise ValueError(f"there is no rule {name!r}")
            setattr(owner, name, value)


def _answer(status: int, content: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(content).encode())
