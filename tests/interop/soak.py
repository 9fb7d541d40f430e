"""The storm by hand: `python tests/interop/soak.py oidc --seconds 60` prints figures; exit status 1 if one is bad."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[2])
)  # run as a script, only this folder is on the path

from tests.interop.counting_proxy import CountingProxy
from tests.interop.real_servers import DJANGO, OIDC_PROVIDER, running
from tests.interop.shared_grant import SharedGrant
from tests.interop.storm import blow

KINDS = {"oidc": OIDC_PROVIDER, "django": DJANGO}


def main() -> int:
    """Start a server, blow, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--life", type=int, default=3, help="seconds an access token lives")
    parser.add_argument("--ahead", type=float, help="RefreshPolicy(ahead=...), seconds")
    parser.add_argument("--early", type=float, help="RefreshPolicy(early=...), seconds")
    options = parser.parse_args()
    kind = KINDS[options.server]
    if not kind.installed:
        parser.error(f"no {kind.name}: run tests/interop/install (it needs {kind.needs})")
    margins = {"ahead": options.ahead, "early": options.early}
    policy = {name: seconds for name, seconds in margins.items() if seconds is not None}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(kind, Path(folder), ACCESS_TOKEN_SECONDS=options.life) as server,
        CountingProxy(server.token_url) as proxy,
    ):
        grant = SharedGrant(server, proxy, Path(folder, "own/token.json"))
        figures = blow(grant, seconds=options.seconds, policy=policy)
    sys.stdout.write(f"{figures}\n")
    return 0 if figures.good else 1


if __name__ == "__main__":
    sys.exit(main())
