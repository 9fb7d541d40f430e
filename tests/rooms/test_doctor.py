"""The doctor: each check finds what it is for, the token file is not touched, and nothing secret is shown."""

import errno
import fcntl
import os
import re
import secrets
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.storms.mounts import bind, fill, mounted, need_root, unmount
from tokenlatch import AESGCM, FileStore, TokenSet
from tokenlatch._process import this_process
from tokenlatch._state import fingerprint
from tokenlatch._wire import Answer
from tokenlatch.cli import _doctor_place
from tokenlatch.cli._doctor_grant import clock
from tokenlatch.errors import TransportError
from tokenlatch.stores import Failure, Holder, Identity, Intent, State
from tokenlatch.testing import AuthorizationServer

pytest.importorskip("click", reason="the command line: pip install 'tokenlatch[cli]'")
from click.testing import CliRunner

from tokenlatch.cli import doctor
from tokenlatch.cli.doctor import command

NOW = time.time()
TOKENS = TokenSet(
    "sentinel-access", refresh_token="sentinel-refresh", issued_at=NOW, expires_at=NOW + 3600
)
SPENT = fingerprint(TOKENS.refresh_token)
DEAD = Holder(2**22 + 1, this_process().host, "long-ago")


class Patient:
    """A token file, and what the doctor says of it."""

    def __init__(self, path, token_url):
        self.path = path
        self.state = State(Identity(token_url, "app", "refresh_token"), 1, TOKENS)

    def write(self, **changes):
        """Put this state into the file."""
        with FileStore(self.path).transaction(1) as transaction:
            transaction.commit(self.state.having(**changes))

    def look(self, *options):
        """Return exit status and findings by their check; nothing may have changed."""
        before = self.snapshot()
        result = CliRunner().invoke(command, [str(self.path), *options])
        assert self.snapshot() == before
        assert "sentinel" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        found = {}
        for line in result.output.splitlines()[:-1]:
            level, check, text = line[:8].strip(), line[9:21].strip(), line[22:]
            found.setdefault(check, []).append((level, text))
        return result.exit_code, found

    def snapshot(self):
        """Everything about every file in the directory that a change would change."""
        if not self.path.parent.exists():
            return None
        return {
            each.name: (each.lstat().st_ino, each.lstat().st_mtime_ns, each.lstat().st_mode)
            for each in self.path.parent.iterdir()
        }


@pytest.fixture(scope="module")
def token_url():
    """A token endpoint that tells the date."""
    with AuthorizationServer() as server:
        yield server.token_url


@pytest.fixture
def patient(tmp_path, token_url, monkeypatch):
    """A healthy file."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    patient = Patient(tmp_path / "grant" / "token.json", token_url)
    patient.write()
    return patient


def test_all_is_well(patient):
    """Exit status 0, and every check says what it did."""
    status, found = patient.look()
    assert status == 0
    checks = "directory, file system, free space, writing, lock, token file, tokens, clock"
    assert list(found) == checks.split(", ")
    assert {level for each in found.values() for level, _ in each} == {"ok"}
    assert "kept a second process out" in found["lock"][0][1]
    assert "generation 1 of app" in found["token file"][0][1]
    assert "there is a refresh token" in found["tokens"][0][1]


def test_before_the_first_login(patient):
    """Neither file nor directory: warnings, and nothing is made."""
    patient.path = patient.path.parent / "new" / "token.json"
    status, found = patient.look()
    assert status == 1
    assert found["directory"][0][0] == found["token file"][0][0] == "warning"
    assert not patient.path.parent.exists()


# ------------------------------------------------------------------------------------------------------ the place


def test_a_lock_that_does_not_exclude(patient, monkeypatch):
    """Here the lock does nothing: a second process really gets in, and the doctor sees it."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    status, found = patient.look()
    assert status == 2
    assert found["lock"][0][0] == "error"
    assert "found the lock free while it was held" in found["lock"][0][1]


def test_a_lock_that_cannot_be_had(patient, monkeypatch):
    """A file system without locks."""

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    status, found = patient.look()
    assert (status, found["lock"][0][0]) == (2, "error")
    assert "No locks available" in found["lock"][0][1]


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "posix_fallocate"])
def test_a_disk_that_fails(patient, monkeypatch, step):
    """Each step of a save is tried, and named when it fails; no scratch file stays."""

    def sick(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, step, sick)
    status, found = patient.look()
    assert (status, found["writing"][0][0]) == (2, "error")
    assert "Input/output error" in found["writing"][0][1]


@pytest.mark.parametrize(
    ("what", "mode", "check", "cure"),
    [("", 0o644, "token file", "chmod 600"), ("..", 0o777, "directory", "chmod go-w")],
)
def test_what_others_may_use(patient, what, mode, check, cure):
    """As the store refuses it, so does the doctor; with --allow-open both take it."""
    (patient.path / what).resolve().chmod(mode)
    status, found = patient.look()
    assert (status, found[check][0][0]) == (2, "error")
    assert cure in found[check][0][1]
    assert patient.look("--allow-open")[0] == 0


def test_a_network_file_system(patient, monkeypatch):
    """It warns: a single machine may use it, several may not."""
    monkeypatch.setattr(_doctor_place, "mount_of", lambda _: ("nfs4", "/home"))
    monkeypatch.setattr(_doctor_place, "network_kind", lambda _: "nfs4")
    status, found = patient.look()
    assert (status, found["file system"][0][0]) == (1, "warning")
    assert "nfs4 at /home" in found["file system"][0][1]


@pytest.mark.storm
def test_a_full_disk(patient):
    """No room for the next token."""
    with mounted("tmpfs") as disk:
        patient.path = disk / "token.json"
        patient.write()
        fill(disk)
        status, found = patient.look()
    assert status == 2
    assert found["free space"][0][0] == found["writing"][0][0] == "error"


@pytest.mark.storm
def test_a_file_that_is_mounted_by_itself(patient):
    """Nothing can be moved there."""
    need_root()
    bind(patient.path)
    try:
        status, found = patient.look()
    finally:
        unmount(patient.path)
    assert (status, found["file system"][0][0]) == (2, "error")
    assert "mount its directory" in found["file system"][0][1]


# ------------------------------------------------------------------------------------------------------ the grant


@pytest.fixture
def grant_only(monkeypatch):
    """Leave out the place, whose checks start processes."""
    monkeypatch.setattr(doctor, "place", lambda *_, **__: iter(()))


@pytest.mark.usefixtures("grant_only")
@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99}'])
def test_a_damaged_file(patient, content):
    """As every worker says it; nothing is healed by the doctor."""
    patient.path.write_bytes(content)
    status, found = patient.look()
    assert (status, found["token file"][0][0]) == (2, "error")
    assert str(patient.path) in found["token file"][0][1]


@pytest.mark.usefixtures("grant_only")
def test_a_sealed_file(patient, monkeypatch, tmp_path):
    """Without the key it cannot be looked into; with it, from a variable or a file, all is well."""
    key = secrets.token_bytes(32)
    FileStore(patient.path).reseal(AESGCM(key))
    monkeypatch.setenv("DOCTORS_KEY", key.hex())
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "key").chmod(0o600)
    status, found = patient.look()
    assert (status, found["token file"][0][0]) == (1, "warning")
    assert "--key-env" in found["token file"][0][1]
    assert patient.look("--key-env", "DOCTORS_KEY")[0] == 0
    assert patient.look("--key-file", str(tmp_path / "key"))[0] == 0
    monkeypatch.setenv("DOCTORS_KEY", secrets.token_hex(32))
    assert patient.look("--key-env", "DOCTORS_KEY")[0] == 2


@pytest.mark.usefixtures("grant_only")
def test_a_refresh_under_way(patient):
    """An intent while the lock is taken is as it should be."""
    patient.write(intent=Intent(NOW, this_process(), SPENT))
    with FileStore(patient.path).transaction(1):
        status, found = patient.look()
    assert status == 0
    assert "it is under way" in found["refresh"][0][1]


INTERRUPTED = {
    "killed": (Intent(NOW - 60, DEAD, SPENT), "warning", "does not live any more"),
    "on another host": (
        Intent(NOW - 60, Holder(1, "elsewhere", "x"), SPENT),
        "warning",
        "not live any more",
    ),
    "answer lost": (Intent(NOW - 60, this_process(), SPENT, doubtful=True), "warning", "was lost"),
    "cannot save": (Intent(NOW - 60, this_process(), SPENT), "error", "could not save"),
}


@pytest.mark.usefixtures("grant_only")
@pytest.mark.parametrize(("intent", "level", "words"), INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_refresh(patient, intent, level, words):
    """Who, when, whether it lives, and what that means."""
    patient.write(intent=intent)
    status, found = patient.look()
    assert status == {"warning": 1, "error": 2}[level]
    assert found["refresh"][0][0] == level
    assert words in found["refresh"][0][1]
    assert f"process {intent.holder.pid} on {intent.holder.host}" in found["refresh"][0][1]
    assert re.search(r"\d+ s ago", found["refresh"][0][1])


FAILURES = {
    "dead": (Failure("ReauthorizationRequired", "Refused.", NOW, None, 1, SPENT), 2, "is dead"),
    "dead before a new login": (Failure("X", "Refused.", NOW, None, 1, "other"), 0, None),
    "cooling down": (Failure("ProviderError", "Ill.", NOW, NOW + 9999, 3), 1, "may start in"),
    "cooled down": (Failure("ProviderError", "Ill.", NOW - 9, NOW - 1, 3), 1, "may be tried again"),
}


@pytest.mark.usefixtures("grant_only")
@pytest.mark.parametrize(("failure", "status", "words"), FAILURES.values(), ids=FAILURES)
def test_a_remembered_failure(patient, failure, status, words):
    """A dead grant needs a person; a sick provider needs time."""
    patient.write(failure=failure)
    seen, found = patient.look()
    assert seen == status
    assert (words in found["failure"][0][1]) if words else ("failure" not in found)


@pytest.mark.usefixtures("grant_only")
def test_tokens_past_their_time(patient):
    """An access token that is over is normal, a refresh token that is over is not, one from the future is odd."""
    patient.write(tokens=TokenSet("sentinel", expires_at=NOW - 1, refresh_token="sentinel"))
    assert patient.look()[0] == 0
    patient.write(tokens=TokenSet("sentinel", refresh_expires_at=NOW - 1, refresh_token="sentinel"))
    assert patient.look()[0] == 2
    patient.write(tokens=TokenSet("sentinel", issued_at=NOW + 1000))
    status, found = patient.look()
    assert status == 1
    assert "a clock is wrong" in found["tokens"][1][1]
    patient.write(tokens=None)
    assert patient.look()[1]["tokens"][0][0] == "warning"


@pytest.mark.usefixtures("grant_only")
def test_what_lies_beside_the_file(patient, tmp_path, monkeypatch):
    """What a dead holder left, what was kept aside, what was put elsewhere, a counter that is not whole."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for each in (f"{patient.path}.next", f"{patient.path}.damaged-20260101T000000Z"):
        Path(each).write_text("x")
    Path(FileStore(patient.path).spill_path).write_text("x")
    Path(f"{patient.path}.counter").write_text("x")
    status, found = patient.look()
    assert status == 1
    assert len(found["litter"]) == 4
    assert {level for level, _ in found["litter"]} == {"warning"}


# ------------------------------------------------------------------------------------------------------ the clock


@pytest.mark.parametrize(
    ("off", "level"),
    [(0, "ok"), (4, "ok"), (-4, "ok"), (7, "warning"), (-7, "warning"), (90, "error")],
)
def test_a_clock_that_is_wrong(off, level):
    """It is compared with the token endpoint's date; a second or two are the network's."""
    here = 1_750_000_000.5
    asked = []

    def send(ask):
        asked.append(ask)
        return Answer(405, {"date": formatdate(here - 0.5 - off, usegmt=True)})

    found = clock("https://idp.example/token?secret=x", send, lambda: here)
    assert found.level == level
    (ask,) = asked
    assert (ask.method, ask.url, dict(ask.form), dict(ask.headers)) == (
        "HEAD",
        "https://idp.example/token",
        {},
        {},
    )


@pytest.mark.usefixtures("grant_only")
def test_a_clock_that_cannot_be_compared(patient):
    """Nobody there, or no date: a warning, not a verdict."""

    def nobody(_):
        raise TransportError("Nobody listens there.")

    assert clock("https://idp.example", nobody, time.time).level == "warning"
    assert clock("https://idp.example", lambda _: Answer(200), time.time).level == "warning"
    assert clock(None, nobody, time.time).level == "ok"
    assert patient.look("--token-url", "http://127.0.0.1:9/token")[0] == 1


def test_wrong_options(tmp_path):
    """A directory is no token file."""
    result = CliRunner().invoke(command, [str(tmp_path)])
    assert result.exit_code == 2
    assert "path of a file" in result.output
