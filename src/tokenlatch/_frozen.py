"""Frozen records: what frozen dataclasses are, without methods that are compiled anew at every start.

Law: generic where ``dataclasses`` generates code. That costs a microsecond where a record is made, and saves most of
what the import of this library would take. To tools a record is a dataclass.
"""

from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    NoReturn,
    Self,
    dataclass_transform,
    get_origin,
)

if TYPE_CHECKING:
    from dataclasses import KW_ONLY as KW_ONLY  # noqa: PLC0414 - for those who import it from here
    from inspect import Signature
else:

    class KW_ONLY:  # noqa: N801 - as dataclasses call it
        """After ``_: KW_ONLY`` fields are keyword-only."""


_MISSING: Final = object()


class _Field(NamedTuple):
    default: object = _MISSING
    default_factory: Callable[[], object] | None = None
    kw_only: bool = False
    repr: bool = True


def field(
    *,
    default: object = _MISSING,
    default_factory: Callable[[], object] | None = None,
    kw_only: bool = False,
    repr: bool = True,  # noqa: A002 - as dataclasses call it
) -> Any:  # noqa: ANN401 - it stands for the field's own type
    """Describe a field, as ``dataclasses.field`` does."""
    return _Field(default, default_factory, kw_only, repr)


class _OfTwin:
    """An attribute that only tools ask for: the one of a real dataclass with the same fields."""

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, _: object, kind: "type[Frozen]") -> Any:  # noqa: ANN401 - what dataclasses keep there
        return getattr(_twin(kind), self._name)


class _Signature:
    """What ``help`` and editors show for the class; an instance is no callable."""

    def __get__(self, record: object, kind: "type[Frozen]") -> "Signature":
        if record is not None or kind.__init__ is not Frozen.__init__:
            raise AttributeError("__signature__")
        from inspect import signature

        return signature(_twin(kind))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen:
    """A record: its fields are the annotations of its class, as in a dataclass.

    It is compared by its fields and cannot be changed; ``having`` returns a copy with changes. ``__post_init__`` runs
    after construction. Fields after ``_: KW_ONLY`` are keyword-only, as are all of ``class X(Frozen, kw_only=True)``.
    """

    _fields: ClassVar[dict[str, _Field]] = {}
    _defaults: ClassVar[dict[str, object]] = {}
    _factories: ClassVar[dict[str, Callable[[], object]]] = {}
    _required: ClassVar[tuple[str, ...]] = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[dict[str, Any]] = _OfTwin()  # type: ignore[assignment]  # what it gives
    __dataclass_params__ = _OfTwin()
    __signature__ = _Signature()

    def __init_subclass__(cls, *, kw_only: bool = False, **others: Any) -> None:  # noqa: ANN401 - other bases'
        super().__init_subclass__(**others)
        fields: dict[str, _Field] = {}
        for base in reversed(cls.__mro__[1:]):
            fields.update(base.__dict__.get("_fields", {}))
        for name, annotation in cls.__annotations__.items():
            if name == "_":
                kw_only = True
            elif not _is_class_variable(annotation):
                given = cls.__dict__.get(name, _MISSING)
                one = given if isinstance(given, _Field) else _Field(given)
                fields[name] = one._replace(kw_only=kw_only or one.kw_only)
                if one is given:
                    delattr(cls, name)
        cls._fields = fields
        cls.__match_args__ = tuple(name for name, one in fields.items() if not one.kw_only)  # type: ignore[misc]  # checkers have their own
        cls._defaults = {name: one.default for name, one in fields.items()}
        cls._factories = {
            name: one.default_factory for name, one in fields.items() if one.default_factory
        }
        cls._required = tuple(
            name
            for name, one in fields.items()
            if one.default is _MISSING and not one.default_factory
        )

    def __init__(self, *args: object, **kwargs: object) -> None:
        own, named = self.__dict__, self.__match_args__
        own.update(self._defaults)
        own.update(zip(named, args, strict=False))
        own.update(kwargs)
        for name, make in self._factories.items():
            if own[name] is _MISSING:
                own[name] = make()
        twice = args and not kwargs.keys().isdisjoint(named[: len(args)])
        missing = [name for name in self._required if own[name] is _MISSING]
        if twice or missing or len(args) > len(named) or len(own) > len(self._fields):
            raise TypeError(self._complaint(args, kwargs, missing))
        self.__post_init__()

    def _complaint(
        self, args: tuple[object, ...], kwargs: dict[str, object], missing: list[str]
    ) -> str:
        kind, named = type(self).__name__, self.__match_args__
        if len(args) > len(named):
            return f"{kind} takes {len(named)} positional arguments, not {len(args)}."
        for name in kwargs:
            if name not in self._fields:
                return f"{kind} was given {name!r}, which it does not know."
            if name in named[: len(args)]:
                return f"{kind} was given {name!r} twice."
        return f"{kind} needs {', '.join(map(repr, missing))}."

    def __post_init__(self) -> None:
        """Check or complete the fields; the record can be changed only here."""

    def having(self, **changes: object) -> Self:
        """Return a copy with these fields changed, checked like a new one."""
        return type(self)(**{**self.__dict__, **changes})

    __replace__ = having  # copy.replace, from Python 3.13 on

    def __repr__(self) -> str:
        shown = (
            f"{name}={self.__dict__[name]!r}" for name, one in self._fields.items() if one.repr
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        # Mappings cannot be hashed; equal records have equal mappings, so they may be left out.
        return hash(tuple(each for each in self.__dict__.values() if not isinstance(each, Mapping)))

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__}.{name} is frozen: make a copy with having({name}=...)."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen.")


def _is_class_variable(annotation: object) -> bool:
    text = isinstance(annotation, str) and annotation.removeprefix("typing.").startswith("ClassVar")
    return text or annotation is ClassVar or get_origin(annotation) is ClassVar


def _twin(kind: type[Frozen]) -> type:
    import dataclasses

    types: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        types.update(getattr(base, "__annotations__", {}))
    fields = []
    for name, one in kind._fields.items():
        words: dict[str, Any] = {"kw_only": one.kw_only, "repr": one.repr}
        if one.default_factory:
            words["default_factory"] = one.default_factory
        elif one.default is not _MISSING:
            words["default"] = one.default
        fields.append((name, types[name], dataclasses.field(**words)))
    return dataclasses.make_dataclass(kind.__name__, fields, frozen=True)
