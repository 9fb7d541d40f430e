"""What a token answer looks like: where its fields lie, what their numbers measure, what counts as success.

Law: pure; the shape as data, and the look-ups that it describes. What an answer means is told in ``_wire``.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

from tokenlatch._frozen import KW_ONLY, Frozen, field
from tokenlatch._meaning import ERROR_CLASSES, ErrorClass
from tokenlatch._state import TokenSet

FOREVER: Final = 100 * 366 * 86400.0
"""Seconds from which on a lifetime means "for ever"."""

Paths: TypeAlias = str | tuple[str, ...]
"""A dotted path into the answer, or several of which the first that is there counts."""

Rotation: TypeAlias = Literal["auto", "required", "prolonged"]

_FIELDS: Final[Mapping[str, Paths]] = {
    "access_token": "access_token",
    "token_type": "token_type",
    "expires_in": "expires_in",
    "refresh_token": "refresh_token",
    "scope": "scope",
    "refresh_expires_in": ("refresh_token_expires_in", "refresh_expires_in"),
}
_ERROR_FIELDS: Final[Mapping[str, Paths]] = {
    "code": "error",
    "sub_code": (),
    "description": "error_description",
    "uri": "error_uri",
}
_NOTHING: Final = (None, "", "0", 0)
_KINDS: Final = ("seconds", "ms", "epoch_s", "epoch_ms", "iso")


class AnswerShape(Frozen):
    """How a token endpoint answers. The defaults are RFC 6749 sections 5.1 and 5.2.

    Rules, not knobs: numbers may be texts; a scope may be null, missing or a list; a lifetime that is zero
    or negative means "for ever"; an empty refresh token counts as none; unknown fields are kept.

    Attributes:
        strip_prefix: Text before the JSON, to be cut off (Xiaomi: ``&&&START&&&``).
        root: Path of the object with the tokens; names that it lacks are looked up at the top (SOP,
            Feishu, Douyin). Several: the first that is there.
        fields: Where ``access_token``, ``token_type``, ``expires_in``, ``refresh_token``, ``scope`` and
            ``refresh_expires_in`` lie, if elsewhere.
        expires_kind: What ``expires_in`` measures: ``seconds``, ``ms``, ``epoch_s``, ``epoch_ms``,
            ``iso``, or a pattern of ``strptime`` (with ``%``; UTC unless it has ``%z``).
        refresh_expires_kind: The same for ``refresh_expires_in``; default: as ``expires_kind``.
        default_lifetime: Seconds that a token lives when the answer does not say it.
        success: What a success must say, path -> allowed texts; None among them: it may be missing
            (SOP: ``{"code": ("10000",)}``).
        error_fields: Where ``code``, ``sub_code``, ``description`` and ``uri`` of an error lie. A code
            that is there, and is not 0, means failure whatever the status (Huawei's are integers).
        error_classes: Meaning of codes beyond RFC 6749's. Looked up as ``code/sub_code``, then by
            sub-code, then by code.
        rotation: ``auto``: a new refresh token replaces the old one, none leaves it. ``required``: the
            old one is spent in any case, and never sent again. ``prolonged``: the answer has no
            token; the old ones live on for ``default_lifetime``.
        refresh_lifetime: Seconds that a new refresh token lives, counted from its issue; a refresh that
            brings no new one does not prolong it (Huawei: 180 days).
        refresh_outlives_access: Seconds that a new refresh token lives longer than the access token
            (Sina Cloud: one day).
        refresh_deadline_inherited: A new refresh token ends when the first one would have (Kuaishou).
        keep_extra: Names of further fields that stay known when a refresh does not repeat them
            (SOP: ``user_id``).
    """

    _: KW_ONLY
    strip_prefix: str = ""
    root: Paths = ""
    fields: Mapping[str, Paths] = field(default_factory=dict)
    expires_kind: str = "seconds"
    refresh_expires_kind: str | None = None
    default_lifetime: float | None = None
    success: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    error_fields: Mapping[str, Paths] = field(default_factory=dict)
    error_classes: Mapping[str, ErrorClass] = field(default_factory=lambda: ERROR_CLASSES)
    rotation: Rotation = "auto"
    refresh_lifetime: float | None = None
    refresh_outlives_access: float | None = None
    refresh_deadline_inherited: bool = False
    keep_extra: tuple[str, ...] = ()

    def node(self, answer: Mapping[str, object]) -> Mapping[str, object]:
        """Return the object with the tokens, laid over the answer's other fields."""
        for path in _each(self.root):
            inner = find(answer, path)
            if path and isinstance(inner, dict):
                top = path.partition(".")[0]
                return {name: value for name, value in answer.items() if name != top} | inner
        return answer

    def value(self, node: Mapping[str, object], name: str) -> object:
        """Return what the answer says of one of RFC 6749's names, or None."""
        return _first(node, self.fields.get(name, _FIELDS[name]))

    def refusal(self, node: Mapping[str, object]) -> tuple[str | None, str | None, str | None]:
        """Return code, description and URI of the error that an answer names; no code: it names none."""
        said = {
            name: _first(node, path)
            for name, path in {**_ERROR_FIELDS, **self.error_fields}.items()
        }
        error, description = said["code"], text(said["description"])
        if isinstance(error, list):  # {"error": ["invalid_grant"]}
            error = error[0] if error else None
        if isinstance(error, dict):  # {"error": {"code": ..., "message": ...}}
            description = description or text(error.get("message"))
            error = error.get("code") or error.get("type") or error.get("status") or "unnamed"
        code, sub = text(error), text(said["sub_code"])
        code = None if code in _NOTHING or self._is_success(code) else code
        sub = None if sub in _NOTHING else sub
        code = f"{code}/{sub}" if code and sub else code or sub or self._unmet(node)
        return code, description, text(said["uri"])

    def kind(self, code: str | None) -> ErrorClass | None:
        """Return what an error code of ``refusal`` means, or None when nobody says."""
        main, _, sub = (code or "").partition("/")
        for classes in (self.error_classes, ERROR_CLASSES):
            for key in (code, sub, main):
                if key and key in classes:
                    return classes[key]
        return None

    def expiry(self, node: Mapping[str, object], now: float) -> float | None:
        """Return when the access token ends, seconds since the epoch; None: unknown or never."""
        said = self.value(node, "expires_in")
        if said is None and self.default_lifetime is not None:
            return now + self.default_lifetime
        return instant(said, now, self.expires_kind)

    def deadline(
        self, node: Mapping[str, object], now: float, old: TokenSet | None, expires_at: float | None
    ) -> float | None:
        """Return when the refresh token ends, seconds since the epoch; None: unknown or never."""
        said = self.value(node, "refresh_expires_in")
        fresh = text(self.value(node, "refresh_token"))
        if said is not None:
            return instant(said, now, self.refresh_expires_kind or self.expires_kind)
        same = not fresh or (old is not None and fresh == old.refresh_token)
        if old and (same or self.refresh_deadline_inherited):
            return old.refresh_expires_at  # the same refresh token keeps its deadline
        if fresh and self.refresh_lifetime is not None:
            return now + self.refresh_lifetime
        if fresh and expires_at is not None and self.refresh_outlives_access is not None:
            return expires_at + self.refresh_outlives_access
        return None

    def others(self, node: Mapping[str, object], old: TokenSet | None) -> dict[str, object]:
        """Return the answer's other fields, and the old ones that are to stay known."""
        read = {
            path.partition(".")[0]
            for paths in (*{**_FIELDS, **self.fields, **self.error_fields}.values(), *self.success)
            for path in _each(paths)
        }
        kept = {name: old.extra[name] for name in self.keep_extra if old and name in old.extra}
        said = {name: node[name] for name in node.keys() - read}
        return kept | {name: v for name, v in said.items() if v is not None or name not in kept}

    def _is_success(self, code: str | None) -> bool:
        paths = _each(self.error_fields.get("code", _ERROR_FIELDS["code"]))
        return any(code in self.success.get(path, ()) for path in paths)

    def _unmet(self, node: Mapping[str, object]) -> str | None:
        for path, allowed in self.success.items():
            found = find(node, path)
            said = str(found).lower() if isinstance(found, bool) else text(found)
            if said not in allowed:
                return f"{path}={said}"
        return None


def find(node: object, path: str) -> object:
    """Return what lies at a dotted path; a number is a place in a list; None: nothing there."""
    for name in path.split(".") if path else ():
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def text(value: object) -> str | None:
    """Return a text, or a number as text; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def instant(value: object, now: float, kind: str = "seconds") -> float | None:
    """Return an end in seconds since the epoch; None when it is missing, not positive, or for ever."""
    said = text(value)
    try:
        if kind == "iso" or "%" in kind:
            moment = (
                datetime.fromisoformat(said or "")
                if kind == "iso"
                else datetime.strptime(said or "", kind)  # noqa: DTZ007 - UTC is added where no zone is read
            )
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        number = float(said or "nan")
    except (ValueError, OverflowError):
        return None
    number = number / 1000 if kind in {"ms", "epoch_ms"} else number
    life = number - now if kind.startswith("epoch") else number
    return now + life if number > 0 and life < FOREVER else None


def _first(node: object, paths: Paths) -> object:
    said = [find(node, path) for path in _each(paths)]
    return next((each for each in said if each not in _NOTHING), said[0] if said else None)


def _each(paths: Paths) -> tuple[str, ...]:
    return (paths,) if isinstance(paths, str) else paths


def misfit(shape: AnswerShape) -> Iterator[tuple[str, str]]:
    """Yield each field of a shape that cannot be meant, and why."""
    for name in ("expires_kind", "refresh_expires_kind"):
        kind = getattr(shape, name)
        if kind is not None and kind not in _KINDS and "%" not in kind:
            yield name, f"use one of {', '.join(_KINDS)}, or a strptime pattern"
    for name, known in (("fields", _FIELDS), ("error_fields", _ERROR_FIELDS)):
        strange = set(getattr(shape, name)) - set(known)
        if strange:
            yield name, f"{strange.pop()!r} is none of {', '.join(known)}"
    for code, meaning in shape.error_classes.items():
        if meaning not in get_args(ErrorClass):
            words = ", ".join(get_args(ErrorClass))
            yield "error_classes", f"{meaning!r} of {code!r} is none of {words}"
    if any(isinstance(allowed, str) for allowed in shape.success.values()):
        yield "success", "give a tuple of texts for each path"
    if isinstance(shape.keep_extra, str):
        yield "keep_extra", "give a tuple of names"


RFC6749: Final = AnswerShape()
