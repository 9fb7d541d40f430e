"""Checks of a grant: its file, a refresh that was interrupted, a failure that is remembered, and the clock.

Law: never enters a transaction, which would finish what a dead holder left; shows no token.
"""

from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenlatch._process import is_alive
from tokenlatch._senders import Sender
from tokenlatch._state import Failure, Intent, State, fingerprint
from tokenlatch._stores._counter import SIZE
from tokenlatch._stores.file import FileStore
from tokenlatch._wire import Ask, utc
from tokenlatch.cli._doctor import Finding
from tokenlatch.errors import AuthError

if TYPE_CHECKING:
    from tokenlatch.cli._doctor import Level

CLOCK_OFF: Final = (5.0, 60.0)
"""Seconds from which on a wrong clock is a warning, and an error."""


def grant(store: FileStore, now: float) -> tuple[State | None, list[Finding]]:
    """Check the file and what it says; return the state if it can be read."""
    busy = is_locked(store.path + ".lock")
    try:
        state = store.load()
    except AuthError as problem:
        sealed = store.encryption is None and "is encrypted" in problem.message
        hint = " Name its key with --key-env or --key-file." if sealed else ""
        findings = [Finding("warning" if sealed else "error", "token file", f"{problem}{hint}")]
        return None, [*findings, *litter(store, busy=busy)]
    if state is None:
        found = f"{store.path} is not there: log in, or seed() a source."
        return None, [Finding("warning", "token file", found), *litter(store, busy=busy)]
    found = f"generation {state.generation} of {state.identity.client_id} at {state.identity.token_url or 'no URL'}"
    findings = [Finding("ok", "token file", f"{found}, private and whole.")]
    findings += tokens(state, now)
    if state.intent:
        findings.append(interruption(state.intent, now, busy=busy))
    if state.failure:
        findings += failure(state, state.failure, now)
    return state, [*findings, *litter(store, busy=busy)]


def is_locked(path: str) -> bool | None:
    """Tell whether somebody holds this lock right now; None: it cannot be tried."""
    from filelock import FileLock, Timeout

    if not Path(path).exists():
        return False
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:  # is an OSError: caught first
        return True
    except (OSError, NotImplementedError):
        return None
    lock.release()
    return False


def tokens(state: State, now: float) -> Iterator[Finding]:
    """Check how long the tokens live."""
    held = state.tokens
    if held is None:
        yield Finding("warning", "tokens", "there is none yet: log in, or seed() a source.")
        return
    if held.expires_at is None:
        life = "has no known end"
    elif held.expires_at > now:
        life = f"is good until {utc(held.expires_at)}"
    else:
        life = f"was over at {utc(held.expires_at)}, the next call refreshes it"
    refreshable = "there is a refresh token" if held.refresh_token else "there is no refresh token"
    yield Finding("ok", "tokens", f"the access token {life}; {refreshable}.")
    if held.refresh_expires_at is not None and held.refresh_expires_at <= now:
        found = f"the refresh token was over at {utc(held.refresh_expires_at)}: log in again."
        yield Finding("error", "tokens", found)
    if held.issued_at is not None and held.issued_at > now + CLOCK_OFF[0]:
        found = (
            f"they were issued at {utc(held.issued_at)}, which is still to come: a clock is wrong."
        )
        yield Finding("warning", "tokens", found)


def interruption(intent: Intent, now: float, *, busy: bool | None) -> Finding:
    """Check whose unfinished refresh the file tells of."""
    who = f"{intent.holder} began a refresh at {utc(intent.at)}, {now - intent.at:.0f} s ago"
    if busy:
        return Finding("ok", "refresh", f"{who}, and the lock is taken: it is under way.")
    if intent.doubtful:
        found = f"{who}, and the answer was lost"
    elif is_alive(intent.holder):
        found = f"{who}, still lives, and could not save what it got: mend its disk, or end it"
        return Finding("error", "refresh", f"{found}.")
    else:
        found = f"{who}, and does not live any more, as far as this machine can tell"
    advice = (
        "The refresh token may have been spent: it is tried once more when a token is needed, "
        "and if it is refused, log in again."
    )
    return Finding("warning", "refresh", f"{found}. {advice}")


def failure(state: State, last: Failure, now: float) -> Iterator[Finding]:
    """Check what the workers remember of the last failed refresh."""
    when = f"at {utc(last.at)} ({last.attempts} in a row)"
    spent = fingerprint(state.tokens.refresh_token) if state.tokens else None
    if last.retry_at is None and last.fingerprint == spent:
        yield Finding("error", "failure", f"the grant is dead since {utc(last.at)}: {last.message}")
    elif last.retry_at is not None:
        left = last.retry_at - now
        then = (
            f"the next attempt may start in {left:.0f} s" if left > 0 else "it may be tried again"
        )
        yield Finding("warning", "failure", f"{when}: {last.message} Now {then}.")


def litter(store: FileStore, *, busy: bool | None) -> Iterator[Finding]:
    """Check what lies beside the file."""
    path = Path(store.path)
    if Path(f"{path}.next").exists() and not busy:
        found = (
            f"{path}.next was left by a holder that died: the next refresh finishes or removes it."
        )
        yield Finding("warning", "litter", found)
    if store.spill_path and Path(store.spill_path).exists():
        found = f"{store.spill_path} holds a token that could not be saved: the next refresh takes it home."
        yield Finding("warning", "litter", found)
    for each in sorted(path.parent.glob(f"{escape(path.name)}.damaged-*")):
        yield Finding("warning", "litter", f"{each} was kept aside: look into it, then remove it.")
    counter = Path(f"{path}.counter")
    if counter.exists() and counter.stat().st_size != SIZE:
        found = f"{counter} is not whole: remove it, and refreshes are noticed sooner again."
        yield Finding("warning", "litter", found)


def clock(token_url: str | None, send: Sender, now: Callable[[], float]) -> Finding:
    """Compare this machine's clock with the token endpoint's Date header; nothing secret is sent."""
    if not token_url:
        return Finding(
            "ok", "clock", "not checked: no token endpoint is known; name a --token-url."
        )
    url, begin = token_url.partition("?")[0], now()
    try:
        answer = send(Ask(url, method="HEAD"))
        date = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except AuthError as problem:
        return Finding("warning", "clock", f"not checked: {problem}")
    except ValueError:
        return Finding("warning", "clock", f"not checked: {url} tells no date.")
    # The header counts whole seconds, and was written somewhere between request and answer.
    off = (begin + now()) / 2 - (date + 0.5)
    found = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {url}"
    doubtful, wrong = CLOCK_OFF
    if abs(off) <= doubtful:
        return Finding("ok", "clock", f"within {doubtful:.0f} s of {url}.")
    level: Level = "error" if abs(off) > wrong else "warning"
    return Finding(level, "clock", f"{found}: set it right.")
