"""The errors: who must act, that they travel, and that they are a client library's own as well."""

import copy
import pickle
import traceback

import httpx
import httpx2
import pytest
import requests

from tokenlatch import errors
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ForeignOriginError,
    LockTimeout,
    ProviderError,
    ReauthorizationRequired,
    StoreConflict,
    StoreError,
    TransportError,
    UnreadableAnswerError,
    as_also,
)

KINDS = [getattr(errors, name) for name in errors.__all__]
LIBRARIES = [requests.RequestException, httpx.RequestError, httpx2.RequestError]


def full(kind):
    """An error of that kind with every field set."""
    error = kind("It broke: mend it.", error="e", description="d", uri="u", status=418)
    error.retry_after, error.sent, error.waited, error.holder = 3.5, False, 1.5, "process 7"
    return error


def fields(error):
    """What must survive a journey."""
    names = ("error", "description", "uri", "status", "retry_after", "sent", "waited", "holder")
    return str(error), *(getattr(error, name) for name in names)


@pytest.mark.parametrize(
    ("kind", "above"),
    [
        (ReauthorizationRequired, AuthError),
        (ConfigurationError, AuthError),
        (ForeignOriginError, ConfigurationError),
        (ProviderError, AuthError),
        (UnreadableAnswerError, ProviderError),
        (TransportError, AuthError),
        (StoreError, AuthError),
        (StoreConflict, StoreError),
        (LockTimeout, StoreError),
        (LockTimeout, TimeoutError),
    ],
)
def test_the_tree(kind, above):
    """Sorted by who must act."""
    assert issubclass(kind, above)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "journey",
    [
        pytest.param(lambda e: pickle.loads(pickle.dumps(e)), id="pickle"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda e: e.copy(), id="for another waiter"),
    ],
)
@pytest.mark.parametrize("library", [None, *LIBRARIES], ids=lambda each: each and each.__module__)
def test_an_error_travels_whole(kind, library, journey):
    """To another process or another waiter, alone or as a library's own."""
    error = full(kind)
    if library:
        error = as_also(error, library)
    twin = journey(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert fields(twin) == fields(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda each: each.__module__)
def test_an_error_is_also_the_librarys_own(kind, library):
    """Caught by either name, shown under ours, with the attributes that handlers ask for."""
    error = as_also(full(kind), library)
    assert isinstance(error, kind)
    assert isinstance(error, library)
    assert type(error).__name__ == kind.__name__
    assert str(error) == "It broke: mend it."
    assert type(error) is type(as_also(full(kind), library))  # made once
    if library is requests.RequestException:
        assert error.response is None
        assert error.request is None
    else:
        with pytest.raises(RuntimeError, match="request"):  # httpx's own way to say: not set
            _ = error.request


def test_what_a_library_hung_on_an_error_stays_behind():
    """A request or response, with its headers, does not travel."""
    error = as_also(full(TransportError), requests.RequestException)
    error.request = requests.Request("GET", "https://a.example", headers={"A": "sesame"}).prepare()
    error.__dict__["note"] = ["sesame"]
    for data in (pickle.dumps(error), pickle.dumps(error.copy())):
        assert b"sesame" not in data


def test_a_copy_keeps_its_cause_and_hides_the_rest():
    """Every waiter's traceback shows the cause, and no context with locals."""
    cause = OSError("disk")
    error = StoreError("No.")
    error.__cause__ = cause
    for twin in (error.copy(), as_also(error, requests.RequestException)):
        assert twin.__cause__ is cause
        assert twin.__suppress_context__
        assert twin.__context__ is None


def test_two_waiters_raise_two_errors():
    """Their tracebacks do not grow into each other."""
    error = ProviderError("No.")
    seen = []
    for _ in range(2):
        try:
            raise error.copy()
        except ProviderError as mine:
            seen.append(mine)
    first, second = (traceback.extract_tb(each.__traceback__) for each in seen)
    assert (len(first), len(second)) == (1, 1)


def test_a_lock_timeout_is_an_os_error_too():
    """So `except OSError` meant for disks must come later."""
    error = LockTimeout("Taken.")
    assert isinstance(error, OSError)
    assert (error.errno, error.waited, error.holder) == (None, 0.0, None)
