"""Finds a secret in anything that a log, a crash report or a pickle could carry away."""

import pickle
import traceback
from collections.abc import Iterator


def leaks(secrets: list[str], things: object) -> list[str]:
    """Return where a secret was found: the text around it, with the secret itself in brackets."""
    found = []
    for where, text in texts(things):
        for secret in secrets:
            place = text.find(secret)
            if place >= 0:
                around = text[max(0, place - 120) : place]
                found.append(f"{where}: ...{around}[{secret[:8]}...]")
    return sorted(set(found))


def texts(thing: object) -> Iterator[tuple[str, str]]:
    """Write a thing in every way that somebody could."""
    if isinstance(thing, list | tuple):
        for each in thing:
            yield from texts(each)
        return
    kind = type(thing).__name__
    if isinstance(thing, BaseException):
        yield from error_texts(thing, set())
        return
    for way in (repr, str, ascii, "{}".format, "{!r}".format):
        yield kind, way(thing)


def error_texts(error: BaseException, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Write an error, its frames with their locals, and whatever hangs on it, causes and contexts too."""
    if id(error) in seen:
        return
    seen.add(id(error))
    kind = type(error).__name__
    for way in (repr, str, ascii):
        yield f"{way.__name__} of {kind}", way(error)
    yield f"args of {kind}", repr(error.args)
    yield f"notes of {kind}", repr(getattr(error, "__notes__", ()))
    for name, value in vars(error).items():
        yield f"{kind}.{name}", f"{value!r} {value!s}"
        for part in ("headers", "body", "content", "url", "stream", "_content", "extensions"):
            yield f"{kind}.{name}.{part}", repr(getattr(value, part, None))
    try:
        yield f"pickle of {kind}", pickle.dumps(error).decode("latin-1")
    except Exception:  # noqa: BLE001 - what does not pickle carries nothing away
        yield kind, ""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield f"traceback of {kind}", "".join(report.format())
    for inner in (error.__cause__, error.__context__):
        if inner is not None:  # the context is looked at even where it is suppressed
            yield from error_texts(inner, seen)
