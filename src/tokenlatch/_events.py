"""What happened, as frozen records for listeners; without a listener they are logged.

Law: no event holds a secret, and a listener's error never reaches the dance.
"""

import logging
from collections.abc import Callable
from typing import TypeAlias

from tokenlatch._frozen import Frozen
from tokenlatch._state import Holder, Identity
from tokenlatch.errors import AuthError

logger = logging.getLogger("tokenlatch")


class Refreshed(Frozen):
    """This process refreshed; ``took`` is in seconds, from the lock to the saved token."""

    identity: Identity
    generation: int
    took: float


class Adopted(Frozen):
    """Another worker refreshed, and this process took its token over."""

    identity: Identity
    generation: int


class RefreshFailed(Frozen):
    """A refresh failed; all processes remember it until ``retry_at`` (None: for good)."""

    identity: Identity
    error: AuthError
    retry_at: float | None


class InterruptionFound(Frozen):
    """A worker died, or lost the answer, in a refresh that began at ``at``."""

    identity: Identity
    holder: Holder
    at: float


class SaveFailed(Frozen):
    """A new token could not be saved; it is served from memory while saving is tried again.

    ``spilled`` is the file elsewhere that holds it meanwhile, or None: then it dies with the process.
    """

    identity: Identity
    error: AuthError
    spilled: str | None = None


Event: TypeAlias = Refreshed | Adopted | RefreshFailed | InterruptionFound | SaveFailed
Listener: TypeAlias = Callable[[Event], object]


def log(event: Event) -> None:
    """Log an event: the default listener."""
    match event:
        case Refreshed():
            logger.info("Refreshed to generation %d in %.3f s.", event.generation, event.took)
        case Adopted():
            logger.debug("Adopted generation %d.", event.generation)
        case RefreshFailed():
            logger.warning("Refresh failed: %s", event.error)
        case InterruptionFound():
            logger.warning("A refresh by %s was interrupted.", event.holder)
        case SaveFailed():
            where = event.spilled or "memory only"
            logger.critical("A NEW TOKEN IS NOT SAVED, it lives in %s: %s", where, event.error)


def tell(listener: Listener, event: Event) -> None:
    """Pass an event on; a listener that fails is logged and otherwise ignored."""
    try:
        listener(event)
    except Exception:
        logger.exception("The on_event listener failed; the refresh goes on.")
