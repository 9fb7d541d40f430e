"""The command line: what it lists, how little it loads, what it says when click is missing."""

import subprocess
import sys
from importlib import import_module

import pytest

from tokenlatch import __version__
from tokenlatch.cli import COMMANDS

click = pytest.importorskip("click", reason="the command line: pip install 'tokenlatch[cli]'")


def python(*words):
    """Run an interpreter to its end."""
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=50
    )


def without(modules, *words):
    """Run the command line with these words, where these modules are not installed."""
    script = f"""
import sys
sys.modules.update(dict.fromkeys({modules}))
from tokenlatch.cli import main
main()"""
    return python("-c", script, *words)


def test_help_lists_every_command():
    """`python -m tokenlatch --help` names each command with its sentence."""
    done = python("-m", "tokenlatch", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    listed = done.stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ")] == [*COMMANDS]
    assert all(sentence.split()[0] in listed for sentence in COMMANDS.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_file_of_its_name(name):
    """The table, the file and the command's own help agree."""
    command = import_module(f"tokenlatch.cli.{name}").command
    assert command.name in {name, "command"}
    assert command.help.startswith(COMMANDS[name])


def test_help_opens_no_command():
    """The list is quick: no command, no HTTP client and no drawing library is loaded for it."""
    dear = {f"tokenlatch.cli.{name}" for name in COMMANDS} | {"rich", "requests", "httpx", "httpx2"}
    script = f"""
import sys
from tokenlatch.cli._group import group
group(["--help"], standalone_mode=False)
print(sys.modules.keys() & {dear}, file=sys.stderr)"""
    assert python("-c", script).stderr.strip() == "set()"


def test_the_version_is_the_package_s():
    """`--version` says one line."""
    assert python("-m", "tokenlatch", "--version").stdout == f"tokenlatch {__version__}\n"


def test_an_unknown_command_is_a_usage_error():
    """A typing error gets exit status 2 and a hint, not a traceback."""
    done = python("-m", "tokenlatch", "dmeo")
    assert done.returncode == 2
    assert "No such command" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["demo", "--seconds", "1"], []], ids=["help", "options", "nothing"]
)
def test_without_click_it_says_what_to_install(words):
    """Where click is missing, the command line names the extra and what works without."""
    done = without(["click"], *words)
    assert done.returncode == 1
    assert "pip install 'tokenlatch[cli]'" in done.stderr
    assert "python -m tokenlatch demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_client_the_demo_says_what_to_install():
    """Where no HTTP client is installed, the demo names the extras, with click or without."""
    for missing in (["requests", "httpx", "httpx2"], ["click", "requests", "httpx", "httpx2"]):
        done = without(missing, "demo")
        assert done.returncode == 1
        assert "pip install 'tokenlatch[all]'" in done.stderr
        assert "Traceback" not in done.stderr
