"""The command line: ``tokenlatch`` and ``python -m tokenlatch``.

Law: one file a command, named as the command and holding it as ``command``; nothing is imported
before it is needed, so that ``--help`` is quick and the demo runs without click and rich.
"""

import sys
from importlib.util import find_spec
from typing import Final

COMMANDS: Final = {
    "demo": "Watch processes of all three clients share one rotating grant.",
    "doctor": "Check that a token file is safe where it lies, and how its grant is.",
}
"""What there is, in the order of ``--help``, and the sentence that it says of each."""


def main() -> None:
    """Run the command line, and leave with its exit status."""
    if find_spec("click"):
        from tokenlatch.cli._group import group

        group()
    if sys.argv[1:] != ["demo"]:
        sys.exit(
            "The command line needs click: pip install 'tokenlatch[cli]'\n"
            "Without it runs only 'python -m tokenlatch demo', and that without options."
        )
    from tokenlatch.cli._demo import Options, run

    sys.exit(run(Options()))
