"""Starts the real authorization servers, stops them, and says what a client must know of each."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from tests.interop.headless import log_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("TOKENLATCH_INTEROP", HERE.parents[1] / ".interop"))
REDIRECT_URI = "http://127.0.0.1:9/cb"
READY_WITHIN = 20  # seconds


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of server. Paths begin at its base URL; `command` still lacks `{cache}`, `{port}` and `{scratch}`."""

    name: str
    needs: str
    command: tuple[str, ...]
    discovery: str
    authorize: str
    token: str
    revoke: str
    api: str
    scope: str
    user: Mapping[str, str]
    service: str
    """The client that may use client_credentials."""

    @property
    def installed(self) -> bool:
        """Whether `tests/interop/install` was run and could install it."""
        return (CACHE / self.name / ".installed").exists()


OIDC_PROVIDER = Kind(
    name="oidc-provider",
    needs="node >= 20 and npm",
    command=("node", str(HERE / "servers/oidc_provider.mjs"), "{port}", "{cache}"),
    discovery="/.well-known/openid-configuration",
    authorize="/auth",
    token="/token",
    revoke="/token/revocation",
    api="/me",
    scope="openid offline_access",
    user={"login": "alice", "password": "wonderland"},
    service="basic",
)
DJANGO = Kind(
    name="django-oauth-toolkit",
    needs="python3 with venv",
    command=(
        "{cache}/django-oauth-toolkit/bin/python",
        str(HERE / "servers/django_site.py"),
        "{port}",
        "{scratch}/site.sqlite3",
    ),
    discovery="/.well-known/oauth-authorization-server",
    authorize="/o/authorize/",
    token="/o/token/",
    revoke="/o/revoke_token/",
    api="/api/",
    scope="read",
    user={"username": "alice", "password": "wonderland"},
    service="service",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. Every method speaks to it directly, without tokenlatch and past any proxy."""

    kind: Kind
    base: str
    client_id: str = "basic"
    client_secret: str = "interop-secret"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return self.base + self.kind.token

    @property
    def api_url(self) -> str:
        """A resource that answers 200 to a living access token of a user and 401 to a dead one."""
        return self.base + self.kind.api

    def new_grant(self) -> dict[str, Any]:
        """Log the user in (authorization code with PKCE) and return the token answer."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(
            b"="
        )
        question = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": self.kind.scope,
            "prompt": "consent",  # oidc-provider gives no refresh token without it
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            "state": "interop",
        }
        back = log_in(
            f"{self.base}{self.kind.authorize}?{urlencode(question)}", REDIRECT_URI, self.kind.user
        )
        answer = self.ask(
            grant_type="authorization_code",
            code=back["code"],
            redirect_uri=REDIRECT_URI,
            code_verifier=verifier,
        )
        answer.raise_for_status()
        return dict(answer.json())

    def ask(self, **form: str) -> requests.Response:
        """Send one token request."""
        return requests.post(
            self.token_url, data=form, auth=(self.client_id, self.client_secret), timeout=10
        )

    def refresh(self, refresh_token: str) -> requests.Response:
        """Spend a refresh token."""
        return self.ask(grant_type="refresh_token", refresh_token=refresh_token)

    def revoke(self, token: str) -> None:
        """Revoke a token, and with it what the server ties to it."""
        url = self.base + self.kind.revoke
        auth = (self.client_id, self.client_secret)
        requests.post(url, data={"token": token}, auth=auth, timeout=10).raise_for_status()

    def api_status(self, access_token: str) -> int:
        """Return the status with which the API answers this access token."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(self.api_url, headers=headers, timeout=10).status_code


@contextmanager
def running(kind: Kind, scratch: Path, **settings: str | int) -> Iterator[Server]:
    """Start a server on a free port of 127.0.0.1, yield it when it answers, stop its process group afterwards.

    Args:
        kind: which server.
        scratch: an empty folder for its log and its database.
        settings: environment variables, as listed at the top of its file in `servers/`.

    Raises:
        RuntimeError: it ended, or did not answer within 20 s; the message has its last words.
    """
    port = _free_port()
    server = Server(kind, f"http://127.0.0.1:{port}")
    command = [part.format(cache=CACHE, port=port, scratch=scratch) for part in kind.command]
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    log = scratch / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait_until_ready(server.base + kind.discovery, process, log)
        yield server
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)  # polled, to a deadline: another process has no event
    message = f"no answer at {url}; the server said: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for last_word in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, last_word)
            process.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
