"""What the tests of the three platforms share: a clock to set, a browser, and a client of each library."""

import urllib.request
from urllib.error import HTTPError

import httpx
import httpx2
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.httpx2
import tokenlatch.requests


class Clock:
    """A clock to set."""

    def __init__(self):
        self.at = 1_767_225_600.0

    def __call__(self):
        return self.at


class Stay(urllib.request.HTTPRedirectHandler):
    """A browser that shows where it was sent."""

    def redirect_request(self, *_):
        return None


def visit(url):
    """Open a page and return the URL that it redirects to."""
    try:
        with urllib.request.build_opener(Stay()).open(url) as page:
            return page.read().decode()
    except HTTPError as answer:
        with answer:
            return answer.headers["Location"]


def requests_client(source, origin, **options):
    session = requests.Session()
    session.auth = tokenlatch.requests.BearerAuth(source, origin, **options)
    return session


def httpx_client(source, origin, **options):
    return httpx.Client(auth=tokenlatch.httpx.BearerAuth(source, origin, **options))


def httpx2_client(source, origin, **options):
    return httpx2.Client(auth=tokenlatch.httpx2.BearerAuth(source, origin, **options))


CLIENTS = pytest.mark.parametrize("make", [requests_client, httpx_client, httpx2_client])
