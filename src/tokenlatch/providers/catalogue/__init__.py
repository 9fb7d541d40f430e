"""Further providers, as data: what their documents or widely used clients say of them.

Law: a cell without evidence is left at RFC 6749's default, and ``notes`` begins with where the row was read:
D the vendor's documentation, C public source code, N NangoHQ/nango's providers.yaml, J justauth/JustAuth,
P social-auth-core, django-allauth, wechatpy or lark-oapi, R requests-oauthlib's compliance fixes.
Nothing here was tried against the provider itself.
"""

from collections.abc import Mapping
from typing import Final

from tokenlatch.providers import Provider
from tokenlatch.providers.catalogue import china, world

__all__ = ["CATALOGUE"]

CATALOGUE: Final[Mapping[str, Provider]] = {
    name.lower(): row
    for module in (china, world)
    for name, row in sorted(vars(module).items())
    if isinstance(row, Provider)
}
"""Every row by its name in lower case, such as ``"wechat_app"``."""
