"""``_frozen``: records behave as frozen dataclasses do, to programs and to tools."""

import copy
import dataclasses
import inspect
import pickle
import pprint
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, get_type_hints
from unittest.mock import ANY

import pytest

from tokenlatch._frozen import KW_ONLY, Frozen, field
from tokenlatch.providers import Provider


class Point(Frozen):
    """A record with each kind of field."""

    x: int
    y: int = 2
    _: KW_ONLY
    names: Mapping[str, str] = field(default_factory=dict)
    hidden: str = field(default="secret", repr=False)

    def __post_init__(self):
        """Refuse what cannot be meant."""
        if self.x < 0:
            raise ValueError("x")


class Labelled(Point):
    """A record that inherits fields."""

    label: str = ""


class Options(Frozen, kw_only=True):
    """A record whose fields all have to be named."""

    size: int = 1


def test_fields_are_given_by_place_or_by_name():
    """Defaults fill the rest, and each record gets a mapping of its own."""
    point = Point(1, names={"a": "b"})
    assert (point.x, point.y, point.names, point.hidden) == (1, 2, {"a": "b"}, "secret")
    assert Point(1).names is not Point(1).names
    assert Labelled(1, 3, "here") == Labelled(label="here", y=3, x=1)
    assert Options(size=3).size == 3


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (Point, "needs 'x'"),
        (lambda: Point(1, 2, 3), "takes 2 positional"),
        (lambda: Point(1, x=2), "'x' twice"),
        (lambda: Point(1, z=2), "'z', which it does not know"),
        (lambda: Options(3), "takes 0 positional"),
        (lambda: Point(1).having(z=2), "'z', which it does not know"),
    ],
)
def test_wrong_arguments_are_named(make, word):
    """A typing mistake is told as such."""
    with pytest.raises(TypeError, match=word):
        make()


def test_a_record_cannot_be_changed():
    """Neither a field nor anything else can be set or deleted."""
    point = Point(1)
    with pytest.raises(AttributeError, match=r"make a copy with having\(x="):
        point.x = 2
    with pytest.raises(AttributeError, match="frozen"):
        point.new = 2
    with pytest.raises(AttributeError, match="frozen"):
        del point.x
    assert point == Point(1)


def test_copies_are_checked_like_new_ones():
    """``having``, ``dataclasses.replace`` and ``copy.replace`` do the same."""
    point = Point(1, hidden="mine")
    ways = [point.having, lambda **changes: dataclasses.replace(point, **changes)]
    if sys.version_info >= (3, 13):
        ways.append(lambda **changes: copy.replace(point, **changes))
    for way in ways:
        assert way(y=5) == Point(1, 5, hidden="mine")
        with pytest.raises(ValueError, match="x"):
            way(x=-1)


def test_equality_and_hash_go_by_class_and_fields():
    """Mappings take part in equality, not in the hash; another class is never equal."""
    assert Point(1, names={"a": "b"}) == Point(1, names={"a": "b"})
    assert hash(Point(1, names={"a": "b"})) == hash(Point(1, names={"a": "b"}))
    assert Point(1, names={"a": "b"}) != Point(1)
    assert Point(1) != Labelled(1)
    assert len({Point(1), Point(1), Point(2)}) == 2


def test_repr_shows_what_may_be_shown():
    """A field that is kept out of the repr is."""
    assert repr(Labelled(1, label="x")) == "Labelled(x=1, y=2, names={}, label='x')"


def test_match_takes_positional_fields():
    """``case Point(x)`` works; keyword-only fields have no place."""
    match Point(7):
        case Point(x, y):
            assert (x, y) == (7, 2)
    assert Labelled.__match_args__ == ("x", "y", "label")


def test_records_travel():
    """Through pickle and copy, without being frozen on the way."""
    point = Labelled(1, names={"a": "b"}, label="x")
    assert pickle.loads(pickle.dumps(point)) == point
    assert copy.deepcopy(point) == copy.copy(point) == point


def test_tools_see_a_dataclass():
    """``fields``, ``asdict`` and ``inspect.signature`` tell of the same fields."""
    assert [each.name for each in dataclasses.fields(Labelled)] == [
        "x", "y", "names", "hidden", "label",
    ]  # fmt: skip
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 2, "names": {}, "hidden": "secret"}
    assert dataclasses.fields(Point(1))[3].repr is False
    assert list(inspect.signature(Point).parameters) == ["x", "y", "names", "hidden"]
    assert inspect.signature(Point).parameters["names"].kind is inspect.Parameter.KEYWORD_ONLY
    assert not hasattr(Point(1), "__signature__")  # an instance is no callable


def test_tools_that_look_deeper():
    """``pprint`` and type hints, which ask for what only real dataclasses have."""
    pieces = [Labelled(1, label="x" * 100)]
    assert "label='xxx" in pprint.pformat(pieces, width=20)
    assert get_type_hints(Provider)["token_url"] is str


def test_a_field_may_be_equal_to_everything():
    """A placeholder such as ``mock.ANY`` is a value like any other."""
    assert Point(1, ANY, hidden=ANY).y is ANY
    assert Point(5, names=ANY) == Point(5, names={"a": "b"})


def test_mappings_of_all_kinds_stay_out_of_the_hash():
    """Some can be hashed, some say so and cannot: what is equal has the same hash."""
    assert hash(Point(1, names=MappingProxyType({"a": "b"}))) == hash(Point(1, names={"a": "b"}))


def test_subclasses_of_the_users():
    """Class variables are no fields, several bases are merged, and ``dataclass`` may decorate on top."""

    class Counted(Labelled, Options):
        seen: ClassVar[list[str]] = []
        later: "ClassVar[int]" = 3

    assert list(Counted._fields) == ["size", "x", "y", "names", "hidden", "label"]
    assert Counted.seen == []

    @dataclasses.dataclass(frozen=True)
    class Wider(Point):
        width: int = 3

    assert Wider(1, 2).width == 3
    assert list(inspect.signature(Wider).parameters) == ["x", "y", "width", "names", "hidden"]
