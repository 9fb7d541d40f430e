"""What one writes oneself when one knows the problem: filelock, a JSON file, a stat before each request.

No intent, no fsync, no memory of failures, no origins: the rest of tokenlatch is what is missing here.
"""

import json
import os
import threading
import time

from filelock import FileLock

from benchmarks.peers.base import Contestant, library


class Tokens:
    def __init__(self, place):
        self.place, self.path = place, place.path("diy.json")
        self.lock, self.gate = FileLock(self.path + ".lock", thread_local=False), threading.Lock()
        self.tokens, self.stamp = {"expires_at": 0}, None

    def load(self):
        status = os.stat(self.path)
        if (status.st_mtime_ns, status.st_ino) != self.stamp:
            with open(self.path) as file:
                self.tokens = json.load(file)
            self.stamp = status.st_mtime_ns, status.st_ino
        return self.tokens

    def token(self, rejected=None):
        tokens = self.load()
        if time.time() < tokens["expires_at"] and tokens["access_token"] != rejected:
            return tokens["access_token"]
        with self.gate, self.lock:
            tokens = self.load()
            if time.time() >= tokens["expires_at"] or tokens["access_token"] == rejected:
                tokens = self.save(self.refresh(tokens["refresh_token"]))
            return tokens["access_token"]

    def refresh(self, refresh_token):
        import requests

        data = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = requests.post(self.place.token_url, data, auth=self.place.client, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def save(self, answer):
        answer["expires_at"] = time.time() + answer["expires_in"]
        with open(self.path + ".new", "w") as file:
            json.dump(answer, file)
        os.replace(self.path + ".new", self.path)
        return answer


def for_requests(tokens):
    from requests.auth import AuthBase

    class Auth(AuthBase):
        def __call__(self, request):
            request.headers["Authorization"] = f"Bearer {tokens.token()}"
            request.register_hook("response", self.answered)
            return request

        def answered(self, response, **kwargs):
            if response.status_code != 401:
                return response
            rejected = response.request.headers["Authorization"].removeprefix("Bearer ")
            response.content  # noqa: B018 - lets the connection be used again
            response.close()
            again = response.request.copy()
            again.hooks = {"response": []}
            again.headers["Authorization"] = f"Bearer {tokens.token(rejected)}"
            return response.connection.send(again, **kwargs)

    return Auth()


def for_httpx(tokens, httpx):
    class Auth(httpx.Auth):
        def auth_flow(self, request):
            used = tokens.token()
            request.headers["Authorization"] = f"Bearer {used}"
            response = yield request
            if response.status_code == 401:
                request.headers["Authorization"] = f"Bearer {tokens.token(used)}"
                yield request

    return Auth()


class DoItYourself(Contestant):
    doors = ("requests", "httpx", "httpx-async", "httpx2", "httpx2-async")
    notices = ("expiry", "401")

    def prepare(self, place):
        Tokens(place).save(
            {
                "access_token": place.access_token,
                "refresh_token": place.refresh_token,
                "expires_in": place.expires_at - time.time(),
            }
        )

    def auth(self, door, place):
        tokens = Tokens(place)
        return for_requests(tokens) if door == "requests" else for_httpx(tokens, library(door))
