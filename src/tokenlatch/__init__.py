"""One refresh for all your workers: shared OAuth tokens for requests, httpx and httpx2.

Law: this file names what is public and imports nothing that costs (no HTTP client, no filelock).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tokenlatch import errors
from tokenlatch._env import Env
from tokenlatch._grants import ClientCredentials, Custom, RefreshToken
from tokenlatch._origins import ANY_HTTPS
from tokenlatch._policy import RefreshPolicy
from tokenlatch._senders import Httpx2Sender, HttpxSender, RequestsSender
from tokenlatch._source import TokenSource
from tokenlatch._state import TokenSet
from tokenlatch._stores import TokenStore
from tokenlatch._stores.file import FileStore
from tokenlatch._stores.memory import MemoryStore
from tokenlatch.providers import Provider

if TYPE_CHECKING:
    from tokenlatch._authorize import AuthorizationCode, PendingLogin
    from tokenlatch._device import DeviceCode, DevicePrompt
    from tokenlatch._exchanges import JWTBearer, TokenExchange
    from tokenlatch._jwt import Assertion
    from tokenlatch._login import login_in_browser
    from tokenlatch._stores.encryption import AESGCM
    from tokenlatch._stores.redis import RedisStore

__version__ = "0.1.0"

__all__ = [
    "AESGCM",
    "ANY_HTTPS",
    "Assertion",
    "AuthorizationCode",
    "ClientCredentials",
    "Custom",
    "DeviceCode",
    "DevicePrompt",
    "Env",
    "FileStore",
    "Httpx2Sender",
    "HttpxSender",
    "JWTBearer",
    "MemoryStore",
    "PendingLogin",
    "Provider",
    "RedisStore",
    "RefreshPolicy",
    "RefreshToken",
    "RequestsSender",
    "TokenExchange",
    "TokenSet",
    "TokenSource",
    "TokenStore",
    "errors",
    "login_in_browser",
]

_LATER = {  # imported when they are asked for: most programs never do
    "AESGCM": "tokenlatch._stores.encryption",
    "Assertion": "tokenlatch._jwt",
    "AuthorizationCode": "tokenlatch._authorize",
    "DeviceCode": "tokenlatch._device",
    "DevicePrompt": "tokenlatch._device",
    "JWTBearer": "tokenlatch._exchanges",
    "PendingLogin": "tokenlatch._authorize",
    "RedisStore": "tokenlatch._stores.redis",
    "TokenExchange": "tokenlatch._exchanges",
    "login_in_browser": "tokenlatch._login",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'tokenlatch' has no attribute {name!r}")
