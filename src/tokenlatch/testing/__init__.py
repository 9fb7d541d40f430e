"""An authorization server on loopback that can misbehave on demand, for users' tests and ours.

Law: this package imports the standard library and nothing of the rest of tokenlatch, so that what it reports is the
word of an independent witness. It is a double: it keeps its books right and its answers standard until a test tells it
otherwise, but it has no login page, no TLS and no security.

Names are loaded when first used: pytest imports this package at start-up for its plugin, in every project.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenlatch.testing._huawei import HuaweiServer
    from tokenlatch.testing._server import AuthorizationServer
    from tokenlatch.testing._sina import SinaCloudServer
    from tokenlatch.testing._sop import SopServer

__all__ = ["AuthorizationServer", "HuaweiServer", "SinaCloudServer", "SopServer"]

_ROOMS = {
    "AuthorizationServer": "_server",
    "HuaweiServer": "_huawei",
    "SinaCloudServer": "_sina",
    "SopServer": "_sop",
}


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    if name in __all__:
        return getattr(import_module(f"tokenlatch.testing.{_ROOMS[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
