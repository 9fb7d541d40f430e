"""The conventions of the house, as tests: public names, secrets, where a line lives, how long a thing may be.

When a public name or signature changes on purpose: python -m tests.test_house, and review the change in public_api.txt.
"""

import ast
import copy
import dataclasses
import difflib
import importlib
import inspect
import io
import pickle
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import tokenlatch
from tokenlatch import errors

ROOT = Path(__file__).parents[1]
HOUSE = Path(
    tokenlatch.__file__
).parent  # of the installed package: .ci/run tests the wheel with src deleted
FILES = sorted(HOUSE.rglob("*.py"))
PUBLIC_API = ROOT / "tests" / "public_api.txt"


def name_of(path: Path) -> str:
    """Return the module's dotted name."""
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def shown(path: Path) -> str:
    """Return the path as reports show it."""
    return path.relative_to(HOUSE).as_posix()


def none_of(strays: Iterable[str]) -> None:
    """Fail with the list of strays, one a line."""
    if lines := list(strays):
        pytest.fail("\n".join(lines), pytrace=False)


# ---------------------------------------------------------------------------------------------------- public names


def public_api() -> Iterator[str]:
    """Describe every public name, one a line, with the signature of what can be called."""
    for path in FILES:
        name = name_of(path)
        if not any(part.startswith("_") for part in name.split(".")):
            module = importlib.import_module(name)
            for public in sorted(getattr(module, "__all__", ())):
                yield from described(f"{name}.{public}", getattr(module, public))


def described(name: str, thing: object) -> Iterator[str]:
    """Describe one public thing, and the public members that a class has from rooms of the house."""
    if inspect.isclass(thing):
        bases = [
            base.__name__ for base in thing.__bases__ if base is not object and not hidden(base)
        ]
        yield f"{name}{signature(thing)}{' is ' * bool(bases)}{', '.join(bases)}"
        members: dict[str, object] = {}
        for kind in reversed([each for each in thing.__mro__ if each is thing or hidden(each)]):
            members |= vars(kind)
        fields = getattr(thing, "__dataclass_fields__", ())
        for member, value in sorted(members.items()):
            if (
                not member.startswith(("_", "test_")) and member not in fields
            ):  # those are in the signature
                yield f"  .{member}{signature(value)}"
    elif inspect.ismodule(thing) or not inspect.isroutine(thing):
        yield f"{name}: {type(thing).__name__.lstrip('_')}"
    else:
        yield f"{name}{signature(thing)}"


def hidden(kind: type) -> bool:
    """Tell whether a base class is a matter of the house: its members belong to the class that users see."""
    return kind.__module__.startswith("tokenlatch.") and not hasattr(
        tokenlatch.errors, kind.__name__
    )


def signature(thing: object) -> str:
    """Return names, kinds and plain defaults; types are the matter of tests/typing."""
    thing = getattr(thing, "__func__", thing)  # of a class method or static method
    if not callable(thing):
        return ""
    if inspect.isclass(thing) and not thing.__module__.startswith("tokenlatch."):
        return f" = {thing.__name__}"
    full = inspect.signature(thing)
    bare = inspect.Parameter.empty
    parameters = [
        each.replace(annotation=bare, default=shown_default(each.default))
        for each in full.parameters.values()
    ]
    return str(full.replace(parameters=parameters, return_annotation=bare))


class Dots:
    """Stands for a default whose repr would change from run to run."""

    def __repr__(self) -> str:
        return "..."


def shown_default(value: object) -> object:
    """Return a default as it is, or dots."""
    plain = isinstance(value, bool | int | float | str | None) or value is inspect.Parameter.empty
    return value if plain else Dots()


def test_public_names_are_those_that_were_reviewed():
    """Every public name and signature stands in public_api.txt; a change there is a change for users."""
    pytest.importorskip(
        "httpx2", reason="the doors need their libraries: pip install 'tokenlatch[all]'"
    )
    reviewed, now = PUBLIC_API.read_text().splitlines(), list(public_api())
    none_of(difflib.unified_diff(reviewed, now, "reviewed", "now", n=0, lineterm=""))


def test_import_costs_nothing_that_was_not_asked_for():
    """No client library, lock, loop, cipher or command line is loaded by the bare import."""
    dear = {
        "anyio",
        "asyncio",
        "click",
        "cryptography",
        "filelock",
        "httpx",
        "httpx2",
        "joserfc",
        "keyring",
    }
    dear |= {"platformdirs", "redis", "requests", "rich", "trio", "urllib3"}
    script = f"import sys, tokenlatch; print(*sys.modules.keys() & {dear})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


# ---------------------------------------------------------------------------------------------------------- errors

ERRORS = [getattr(errors, name) for name in errors.__all__]
VALUES = {"float": 1.5, "int": 429, "str": "some text", "bool": False}


def raised(kind: type[errors.AuthError]) -> errors.AuthError:
    """Return such an error with every field set to something that is not its default."""
    fields = {
        "error": "invalid_grant",
        "description": "spent",
        "uri": "https://idp.example/why",
        "status": 400,
    }
    error = kind("It failed: try this.", **fields)
    for parent in kind.__mro__:
        for name, annotation in inspect.get_annotations(parent).items():
            text = getattr(annotation, "__name__", str(annotation))
            setattr(error, name, VALUES[text.split(" | ")[0]])
    return error


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_crosses_a_process_boundary_whole(kind):
    """Pickled by any protocol, or copied, an error keeps its class, message and fields."""
    error = raised(kind)
    pickles = [pickle.dumps(error, each) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*map(pickle.loads, pickles), copy.copy(error), copy.deepcopy(error)):
        assert (type(twin), str(twin), vars(twin)) == (kind, str(error), vars(error))


def test_every_error_is_drawn_in_the_tree():
    """The module's docstring shows every class, and __all__ names every class."""
    classes = {
        name
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and thing.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__)
    assert all(name in (errors.__doc__ or "") for name in classes)


# --------------------------------------------------------------------------------------------------------- secrets

SECRET_NAMES = re.compile(
    r"^(?!has_|is_)(.*_)?(token|secret|assertion|code_verifier|verifier|password|device_code|private_key|authorization)$"
)
NO_SECRET: dict[str, str] = {  # "Class.field": why it may be shown
}
SENTINEL = "c0ffee-sentinel"


def secret_fields() -> Iterator[tuple[type, dataclasses.Field[object]]]:
    """Find every dataclass field of the house whose name says secret."""
    seen = set()
    for path in FILES:
        if name_of(path).endswith(("__main__", ".plugin")):
            continue
        try:
            module = importlib.import_module(name_of(path))
        except ImportError as missing:
            if (missing.name or "tokenlatch").startswith("tokenlatch"):
                raise
            continue  # its library is not installed; the full run has it
        for thing in vars(module).values():
            if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and thing not in seen:
                seen.add(thing)
                yield from (
                    (thing, f) for f in dataclasses.fields(thing) if SECRET_NAMES.search(f.name)
                )


@pytest.mark.parametrize(
    ("kind", "field"),
    [pytest.param(*each, id=f"{each[0].__name__}.{each[1].name}") for each in secret_fields()],
)
def test_every_secret_field_is_out_of_repr(kind, field):
    """Either the field takes no part in the repr, or an instance with it proves that it does not show."""
    if not field.repr or f"{kind.__name__}.{field.name}" in NO_SECRET:
        return
    required = {
        each.name: SENTINEL
        for each in dataclasses.fields(kind)
        if each.init and each.default is each.default_factory is dataclasses.MISSING
    }
    example = kind(**required | {field.name: SENTINEL})
    assert SENTINEL not in repr(example)
    assert SENTINEL not in f"{example}"


@pytest.mark.parametrize("spell", [repr, ascii, "{!r}".format, lambda tokens: f"{tokens!r}", str])
def test_token_set_shows_no_token(spell):
    """However a token set is turned into text, no token is in it."""
    tokens = tokenlatch.TokenSet(SENTINEL, refresh_token=SENTINEL, extra={"id_token": SENTINEL})
    assert SENTINEL not in spell(tokens)


@pytest.mark.parametrize("grant", ["ClientCredentials", "RefreshToken"])
def test_grants_show_no_secret(grant):
    """The repr of a grant shows the client, not its secret."""
    settings = {"client_id": "app", "client_secret": SENTINEL}
    if grant == "RefreshToken":
        settings["refresh_token"] = SENTINEL
    assert SENTINEL not in repr(getattr(tokenlatch, grant)("https://idp.example/token", **settings))


# --------------------------------------------------------------------------------------------- where a line lives


def code_of(path: Path) -> str:
    """Return the source with comments and docstrings blanked, so that a rule is about what runs."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(lines)


# What, as a pattern -> where it may live, as the beginnings of paths. tokenlatch.testing is a server, another world.
ROOMS = {
    r"\bexpires_at - ": ("_policy.py",),
    r"\btime\.time\b": (
        "_source.py",
        "_stores/file.py",
        "cli/doctor.py",
    ),  # the store: how old a holder is, for its message; the doctor: whether the clock is right
    r"[\"']invalid_grant[\"']": ("_meaning.py", "providers/"),
    r"[\"']insufficient_scope[\"']": ("_wire.py",),
    r"[\"']Bearer ": ("_bearer.py", "_requestslike.py", "providers/"),
    r"[\"']WWW-Authenticate[\"']": ("_wire.py", "_attach.py", "_httpxlike.py", "_requestslike.py"),
    r"\bos\.(fsync|replace|posix_fallocate)\b": ("_stores/",),
    r"\b0o600\b": ("_stores/",),
    r"\bFileLock\b": ("_stores/", "cli/"),
    r"\bregister_at_fork\b": ("_process.py",),
    r"^\s*(import threading|from threading import)": (
        "_flight.py",
        "_source.py",
        "_senders.py",
        "_process.py",
        "_view.py",
        "_login.py",  # a listener beside the caller who waits
        "_stores/",
        "cli/",
    ),
    r"^\s*(import logging|from logging import)": ("_events.py",),
    r"\bos\.(environ|getenv)\b": ("cli/", "_env.py"),
    r"\bprint\(|\bsys\.exit\(": ("cli/", "__main__.py"),
    r"\bverify\s*=\s*False\b": (),
    r"\bfollow_redirects\s*=\s*True\b|\ballow_redirects\s*=\s*True\b": (),
    r"\bpickle\b": (),
}


@pytest.mark.parametrize("pattern", ROOMS)
def test_a_line_lives_where_the_table_says(pattern):
    """Each kind of line has one room (ARCHITECTURE.md), so that a reader knows where to look."""
    strays = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in FILES
        if not shown(path).startswith(("testing/", *ROOMS[pattern]))
        for number, line in enumerate(code_of(path).splitlines(), 1)
        if re.search(pattern, line)
    ]
    none_of(strays)


def test_every_room_begins_with_its_law():
    """The docstring at the top says what the room is for and what may not live there."""
    rooms = [path for path in FILES if path.parent == HOUSE or path.name == "__init__.py"]
    laws = {
        shown(room): ast.get_docstring(ast.parse(room.read_text(encoding="utf-8")))
        for room in rooms
    }
    none_of(room for room, words in laws.items() if not re.search(r"(?i)\blaw\b", words or ""))


# ------------------------------------------------------------------------------------------------------ how long

LONGEST_FILE = 300
LONGEST_FUNCTION = 60  # lines without the docstring
LONG_FILES = {  # path: why it is one thing all the same
    "_dance.py": "one protocol, whose steps are judged side by side",
    "_senders.py": "three libraries, and the one rule what may be said of their errors",
    "_source.py": "the public class, whose docstrings are its manual",
}


def test_no_file_is_longer_than_a_reader_keeps_in_mind():
    """Past that length, look again, and write down why."""
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {
        path: n for path, n in lengths.items() if n > LONGEST_FILE and path not in LONG_FILES
    } == {}


def test_no_function_is_longer_than_a_screen():
    """A docstring does not count: it is there to be long enough."""
    lengths = {
        f"{shown(path)}: {node.name}": (node.end_lineno or 0)
        - node.body[bool(ast.get_docstring(node)) :][0].lineno
        + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 1
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


# ------------------------------------------------------------------------------------------- reasons, walls, claims

TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
SILENCED = re.compile(
    r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\]|pragma: no \w+)(?P<reason>.*)"
)
SLEEP = re.compile(r"\b(time|asyncio|trio|anyio)\.sleep\((?!0\))")


def test_every_silenced_check_says_why():
    """The first noqa, type: ignore or no cover of its kind in a file is followed by its reason."""
    bare = []
    for path in (*FILES, *TESTS):
        explained = set()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := SILENCED.search(line):
                if len(found["reason"].strip(" #-:()")) >= len("a reason"):
                    explained.add(found[1].strip())
                elif found[1].strip() not in explained:
                    bare.append(f"{path}:{number}: {line.strip()}")
    none_of(bare)


def test_no_test_sleeps_and_hopes():
    """A sleep in a test has a comment that says what it waits for and why no event can tell."""
    hoping = []
    for path in TESTS:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), 1):
            if SLEEP.search(line) and "# " not in line and not before.strip().startswith("#"):
                hoping.append(f"{path}:{number}: {line.strip()}")
    none_of(hoping)


def test_every_test_says_in_a_sentence_what_it_shows():
    """A test without a docstring makes its reader guess what broke."""
    silent = [
        f"{path.name}: {node.name}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    none_of(silent)


def walls() -> tuple[list[set[str]], dict[str, set[str]]]:
    """Read the floors, top first, and the rooms that each named wall of pyproject.toml is about."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    stairs, *others = tool["contracts"]
    floors = [{room.strip(" ()") for room in floor.split("|")} for floor in stairs["layers"]]
    about = {"pure": "source_modules", "clients": "source_modules", "witness": "forbidden_modules"}
    return floors, {
        wall["id"]: {room.removeprefix("tokenlatch.") for room in wall[about[wall["id"]]]}
        for wall in others
    }


def test_the_walls_name_every_room():
    """A new room is put on a floor, and on the list of each wall that it belongs to."""
    floors, named = walls()
    rooms = {path.relative_to(HOUSE).with_suffix("").parts[0] for path in FILES} - {"__init__"}
    doors = {room for room in rooms if not room.startswith("_")} - {"errors", "providers"} | {
        "__main__"
    }
    ground = next(number for number, floor in enumerate(floors) if "_process" in floor) + 1
    pure = set().union(*floors[ground:]) & rooms
    assert rooms <= set().union(*floors)
    assert named["pure"] == pure
    assert named["clients"] == rooms - doors - pure - {"_senders"}
    assert named["witness"] == {room for room in rooms if room.startswith("_")} - doors


def test_every_promise_in_the_readme_names_a_test_that_exists():
    """The table promise -> test is true: each `tests/...::name` is there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    claims = re.findall(r"`?(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`?", readme)
    for file, test in claims:
        path = ROOT / file
        assert path.exists(), f"README.md names {file}"
        assert not test or re.search(rf"def {test}\b", path.read_text(encoding="utf-8")), (
            f"README.md names {file}::{test}"
        )
    rows = [line for line in readme.splitlines() if re.match(r"\|\s*\**P\d", line)]
    assert all("tests/" in row for row in rows), "a promise without a test"


if __name__ == "__main__":
    PUBLIC_API.write_text("\n".join(public_api()) + "\n")
