"""``python -m tokenlatch``: the command line, also where no script was installed.

Law: one call.
"""

from tokenlatch.cli import main

if __name__ == "__main__":
    main()
