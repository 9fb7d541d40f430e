"""``tokenlatch demo``: its options.

Law: the demo itself is in ``_demo``, because it runs without click too.
"""

import click

from tokenlatch.cli import COMMANDS
from tokenlatch.cli._demo import Options, run

DEFAULT = Options()


@click.command(
    help=f"""{COMMANDS["demo"]}

    Starts an authorization server on 127.0.0.1 that revokes the whole grant when a refresh token
    is used twice, and ends the old access token at each refresh. Worker processes with requests,
    httpx and httpx2 share one token file, while the tokens live for seconds only. Nothing is sent
    anywhere else, and nothing stays.

    The exit status is 1 if a request failed, a refresh token was used twice, or tokens were asked
    for more often than they came near their end (an expiry), but for the first."""
)
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=DEFAULT.seconds, show_default=True,
    help="How long the workers work.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 64), default=DEFAULT.workers, show_default=True,
    help="How many processes, each with several threads or tasks.",
)  # fmt: skip
@click.option(
    "--lifetime", type=click.FloatRange(1, 3600), default=DEFAULT.lifetime, show_default=True,
    help="How many seconds an access token lives.",
)  # fmt: skip
@click.option("--plain", is_flag=True, help="A line a second instead of the live view.")
@click.option(
    "--revoke-after", type=click.FloatRange(0), metavar="SECONDS",
    help="Let the server revoke the grant, to see how the workers fail.",
)  # fmt: skip
def command(**options: float | bool | None) -> None:
    """Run the demo, and leave with its exit status."""
    raise SystemExit(run(Options(**options)))  # type: ignore[arg-type]  # click checked the types
