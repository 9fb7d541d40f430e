"""The contestants: each driven as its own documentation says, by name.

A contestant is imported when it runs, so that one that is not installed is missing from the tables, and nothing else.
"""

from importlib import import_module

_PLACES = {
    "floor": ("floor", "Floor"),
    "floor again": ("floor", "Floor"),
    "tokenlatch": ("tokenlatch_", "Tokenlatch"),
    "tokenlatch, memory": ("tokenlatch_", "InMemory"),
    "tokenlatch, Redis": ("tokenlatch_", "InRedis"),
    "do-it-yourself": ("diy", "DoItYourself"),
    "singleflight-auth": ("singleflight", "SingleFlight"),
    "requests-oauth2client": ("oauth2client", "RequestsOAuth2Client"),
    "Authlib": ("authlib_", "Authlib"),
    "requests-oauthlib": ("oauthlib_", "RequestsOAuthlib"),
    "requests_auth": ("colin", "Memory"),
    "requests_auth, file": ("colin", "File"),
    "httpx-auth": ("colin", "Memory"),
    "httpx-auth, file": ("colin", "File"),
    "google-auth": ("google_", "Google"),
    "msal": ("msal_", "Msal"),
    "mcp": ("mcp_", "Mcp"),
}

NAMES = tuple(_PLACES)


def contestant(name):
    """Return one by name.

    Raises:
        ImportError: It is not installed.
    """
    module, kind = _PLACES[name]
    return getattr(import_module(f"benchmarks.peers.{module}"), kind)(name)
