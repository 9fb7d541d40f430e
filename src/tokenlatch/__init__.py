"""One refresh for all your workers: shared OAuth tokens for requests, httpx and httpx2.

Law: this file names what is public and imports nothing that costs (no HTTP client, no filelock).
"""

from tokenlatch import errors
from tokenlatch._authorize import AuthorizationCode, PendingLogin
from tokenlatch._device import DeviceCode, DevicePrompt
from tokenlatch._env import Env
from tokenlatch._exchanges import JWTBearer, TokenExchange
from tokenlatch._grants import ClientCredentials, Custom, RefreshToken
from tokenlatch._jwt import Assertion
from tokenlatch._origins import ANY_HTTPS
from tokenlatch._policy import RefreshPolicy
from tokenlatch._senders import Httpx2Sender, HttpxSender, RequestsSender
from tokenlatch._source import TokenSource
from tokenlatch._state import TokenSet
from tokenlatch._stores import TokenStore
from tokenlatch._stores.encryption import AESGCM
from tokenlatch._stores.file import FileStore
from tokenlatch._stores.memory import MemoryStore
from tokenlatch._stores.redis import RedisStore
from tokenlatch.providers import Provider

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
]
