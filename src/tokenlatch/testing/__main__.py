"""`python -m tokenlatch.testing`: the server in the foreground, for other processes and other languages.

Law: options in, one READY line out; the rest is `AuthorizationServer`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from tokenlatch.testing import AuthorizationServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; print `READY {json}` with the URLs and a grant to seed from."""
    options = vars(_parser().parse_args(arguments))
    port, scope = options.pop("port"), options.pop("scope")
    clients = dict(
        (*each.split(":", 1), None)[:2] for each in options.pop("client") or ["app:app-secret"]
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with AuthorizationServer(**options, clients=clients).start(port) as server:
        client_id, client_secret = next(iter(clients.items()))
        ready = {
            "url": server.url,
            "token_url": server.token_url,
            "api_url": server.api_url,
            "control_url": f"{server.url}/_control/",
            "client_id": client_id,
            "client_secret": client_secret,
            "seed": server.issue(scope),
        }
        sys.stdout.write(f"READY {json.dumps(ready)}\n")
        sys.stdout.flush()
        while not stop.wait(1.0):  # Windows sees Ctrl-C only between waits
            pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tokenlatch.testing", description=(__doc__ or "").partition("\n")[0]
    )
    off = argparse.BooleanOptionalAction
    parser.add_argument(
        "--port", type=int, default=0, help="on 127.0.0.1; 0 (default) takes a free one"
    )
    parser.add_argument("--scope", help="scope of the grant that is printed")
    parser.add_argument(
        "--client",
        action="append",
        metavar="ID[:SECRET]",
        help="default app:app-secret; repeatable",
    )
    for name, default, text in (
        ("access", 3600.0, "access tokens live so long (3600)"),
        ("refresh", None, "refresh tokens live so long (for ever)"),
    ):
        parser.add_argument(
            f"--{name}-lifetime", type=float, default=default, metavar="SECONDS", help=text
        )
    for name, text in (
        ("grace", "the last spent refresh token works again for so long"),
        ("token-latency", "a token request takes so long"),
        ("api-latency", "an API request takes so long"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=0.0, metavar="SECONDS", help=f"{text} (0)"
        )
    parser.add_argument("--rotate", action=off, default=True, help="a refresh token works once")
    parser.add_argument(
        "--reuse-detection", action=off, default=True, help="a replay revokes the whole grant"
    )
    parser.add_argument(
        "--kill-old-access", action=off, default=False, help="a refresh kills older access tokens"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
