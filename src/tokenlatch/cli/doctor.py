"""``tokenlatch doctor``: its options, and its report.

Law: prints; what is checked is in ``_doctor_place`` and ``_doctor_grant``.
"""

import time
from collections.abc import Iterator

import click

from tokenlatch._senders import default_sender
from tokenlatch._stores.encryption import AESGCM
from tokenlatch._stores.file import FileStore
from tokenlatch.cli import COMMANDS
from tokenlatch.cli._doctor import EXIT_STATUS, Finding, worst
from tokenlatch.cli._doctor_grant import clock, grant
from tokenlatch.cli._doctor_place import place
from tokenlatch.errors import AuthError

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command(
    help=f"""{COMMANDS["doctor"]}

    PATH is the token file, which may not be there yet. It is not changed, and nothing secret is
    sent or shown: files for the checks are made beside it and taken away, and the token endpoint
    is asked for its date only.

    The exit status is 0 if all is well, 1 after a warning, 2 after an error."""
)
@click.argument("path", type=click.Path())
@click.option("--token-url", metavar="URL", help="The token endpoint, if the file names none.")
@click.option("--key-env", metavar="NAME", help="The variable with the key of an encrypted file.")
@click.option("--key-file", metavar="FILE", help="The file with the key of an encrypted file.")
@click.option("--allow-open", is_flag=True, help="As for FileStore: others may read or own it.")
def command(
    path: str, token_url: str | None, key_env: str | None, key_file: str | None, *, allow_open: bool
) -> None:
    """Run the checks, and leave with the worst one's exit status."""
    try:
        encryption = (
            AESGCM.from_env(key_env)
            if key_env
            else AESGCM.from_file(key_file)
            if key_file
            else None
        )
        store = FileStore(path, encryption=encryption, allow_open=allow_open)
    except AuthError as problem:
        raise click.UsageError(str(problem)) from None
    findings = []
    for each in checks(store, token_url):
        findings.append(each)
        level = click.style(f"{each.level:8}", fg=COLOURS[each.level])
        click.echo(f"{level} {each.check:12} {each.found}")
    levels = [each.level for each in findings]
    click.echo(f"Errors: {levels.count('error')}, warnings: {levels.count('warning')}.")
    raise SystemExit(EXIT_STATUS[worst(findings)])


def checks(store: FileStore, token_url: str | None) -> Iterator[Finding]:
    """Do all checks, one after another."""
    yield from place(store.path, allow_open=store.allow_open)
    now = time.time
    state, findings = grant(store, now())
    yield from findings
    yield clock(token_url or (state.identity.token_url if state else None), default_sender(), now)
