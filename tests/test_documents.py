"""The code in README.md, docs/ and docstrings runs, against a loopback server in place of the hosts it names.

A python block that cannot run here is preceded by a line `<!-- not run: the reason -->`. The blocks of one document
run in order, in one namespace, so that a later block may go on with what an earlier one made.
"""

import ast
import asyncio
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tokenlatch
from tokenlatch.testing import AuthorizationServer

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()
]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\s*\n\s*)?^```python[^\n]*\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A python block of a document, and the line it begins on."""

    line: int
    code: str


def blocks(document: Path) -> Iterator[Block]:
    """Find the blocks that run."""
    text = document.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if not found["reason"]:
            yield Block(text.count("\n", 0, found.start("code")), found["code"])


def at_home(code: str, server: AuthorizationServer) -> str:
    """Put the loopback server in the place of the hosts and the placeholder of the documents."""
    code = re.sub(r"https://(?:idp|auth)\.example(?:\.com)?\b", server.url, code)
    code = re.sub(r"https://api\.example\.com/(?=[\w{])", f"{server.api_url}/", code)
    code = code.replace("https://api.example.com", server.url)
    return code.replace("YOUR-REFRESH-TOKEN", str(server.issue()["refresh_token"]))


def run(block: Block, document: Path, namespace: dict[str, object]) -> None:
    """Run a block where its lines have the numbers of the document; await at its top is allowed."""
    tree = ast.parse("\n" * block.line + block.code, document.name)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(tree, document.name, "exec", flags, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)


def run_as_tests(block: Block, folder: Path) -> None:
    """Run a block that holds tests as a user would: in a project of its own, with our plugin."""
    (folder / "test_block.py").write_text(block.code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_in_the_document_runs(document, tmp_path, monkeypatch):
    """A reader who copies the blocks from top to bottom gets no error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ACME_CLIENT_SECRET", "...")
    namespace: dict[str, object] = {"__name__": document.stem}
    with AuthorizationServer(clients={"app": "..."}) as server:
        for block in blocks(document):
            if re.search(r"^(async )?def test_", block.code, re.MULTILINE):
                run_as_tests(block, tmp_path)
            else:
                run(Block(block.line, at_home(block.code, server)), document, namespace)
        for thing in list(namespace.values()):
            if isinstance(thing, tokenlatch.TokenSource):
                thing.close()


MODULES = sorted(
    ".".join(
        path.relative_to(Path(tokenlatch.__file__).parents[1]).with_suffix("").parts
    ).removesuffix(".__init__")
    for path in Path(tokenlatch.__file__).parent.rglob("*.py")
    if path.name != "__main__.py" and ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name, tmp_path, monkeypatch):
    """An example in a docstring shows what really comes out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        module = importlib.import_module(name)
    except ImportError as missing:
        if (missing.name or "tokenlatch").startswith("tokenlatch"):
            raise
        pytest.skip(f"{missing.name} is not installed: pip install 'tokenlatch[all]'")
    names = {public: getattr(tokenlatch, public) for public in tokenlatch.__all__}
    grant = tokenlatch.ClientCredentials(
        "https://idp.example/token", client_id="app", client_secret="..."
    )
    names["source"] = tokenlatch.TokenSource(grant)
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0, "python -m doctest shows the difference; it is printed above as well"


def test_the_finder_sees_blocks_and_their_lines(tmp_path):
    """The test of the test: a block is found with its line, and one that is not to run is left out."""
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```python\n1 / 0\n```\n<!-- not run: needs a browser -->\n```python\n2 / 0\n```\n"
    )
    (block,) = blocks(page)
    assert block == Block(3, "1 / 0\n")
    with pytest.raises(ZeroDivisionError) as failure:
        run(block, page, {})
    assert failure.traceback[-1].lineno == block.line
