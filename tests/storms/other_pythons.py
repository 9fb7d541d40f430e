"""The library as another Python sees it: it and its one dependency are pure, so a directory of links is enough."""

from importlib.util import find_spec
from pathlib import Path

from tests.storms.shared_grant import ROOT


def library_for(directory, **replaced):
    """Make a directory for PYTHONPATH with tokenlatch and filelock, or with what replaces them."""
    place = directory / "library"
    place.mkdir(exist_ok=True)
    for name in ("tokenlatch", "filelock"):
        link = place / name
        link.unlink(missing_ok=True)
        link.symlink_to(replaced.get(name) or Path(find_spec(name).origin).parent)
    tests = place / "tests"
    tests.unlink(missing_ok=True)
    tests.symlink_to(ROOT / "tests")
    return place
