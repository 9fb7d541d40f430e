"""How providers deviate from RFC 6749, as data.

Law: a record says what a provider does; the code that does it is in ``_shape``, ``_gateway``, ``_asking`` and
``_attach``. A value without a source in a vendor's own words says so where it stands.
"""

from tokenlatch._gateway import Gateway
from tokenlatch._shape import AnswerShape
from tokenlatch.providers._metadata import senders as senders  # filled by the room of senders
from tokenlatch.providers._parts import BEARER, Attach, Authorize, Rejection
from tokenlatch.providers._record import ClientAuth, Provider
from tokenlatch.providers.huawei import HUAWEI
from tokenlatch.providers.sina import SINA_CLOUD
from tokenlatch.providers.sop import sop

__all__ = [
    "BEARER",
    "HUAWEI",
    "SINA_CLOUD",
    "AnswerShape",
    "Attach",
    "Authorize",
    "ClientAuth",
    "Gateway",
    "Provider",
    "Rejection",
    "sop",
]
