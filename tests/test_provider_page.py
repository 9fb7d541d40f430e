"""docs/providers.md is what the records say."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_written_from_the_records():
    """When this fails: python docs/generate_providers.py, and look at what changed."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate_providers.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (DOCS / "providers.md").read_text(encoding="utf-8") == generate.page()
