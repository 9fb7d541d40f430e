"""Logs a user in at an authorization endpoint without a browser: follows redirects, fills in the forms it meets."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_STEPS = 20


class Form(HTMLParser):
    """The first form of a page: where it goes and its named fields."""

    def __init__(self, page: str) -> None:
        """Parse `page`."""
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the form's address and its inputs."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = attributes.get("action", "")
        elif tag == "input" and attributes.get("name"):
            self.fields[attributes["name"]] = attributes.get("value", "")


def log_in(authorize_url: str, redirect_uri: str, user: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters (`code`, `state`, ...) with which the server sends the browser back to `redirect_uri`.

    Args:
        authorize_url: the authorization endpoint with the whole authorization request in its query.
        redirect_uri: where the server returns to; nothing is ever sent there.
        user: form fields to fill in wherever a form has them, such as `username` and `password`.

    Raises:
        RuntimeError: the server showed a page without a form, or no end of pages.
    """
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(authorize_url, allow_redirects=False, timeout=10)
        for _ in range(MOST_STEPS):
            if "Location" in page.headers:
                target = urljoin(page.url, page.headers["Location"])
                if target.startswith(redirect_uri):
                    return dict(parse_qsl(urlsplit(target).query))
                page = browser.get(target, allow_redirects=False, timeout=10)
                continue
            form = Form(page.text)
            if form.action is None:
                break
            filled = form.fields | {name: user[name] for name in form.fields if name in user}
            page = browser.post(
                urljoin(page.url, form.action), data=filled, allow_redirects=False, timeout=10
            )
    message = f"the login stopped at {page.url} with status {page.status_code}: {page.text[:500]}"
    raise RuntimeError(message)
