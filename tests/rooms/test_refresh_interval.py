"""A provider that limits how often it is asked is not asked more often, by whichever worker."""

import dataclasses

import pytest

from tests.rooms.desk import Desk, source_at
from tokenlatch import FileStore, Provider, RefreshToken, errors

SLOW = Provider("https://idp.example/token", refresh_interval=60.0)


def test_workers_keep_the_interval_together(tmp_path):
    """Zoho: one refresh a minute. The second worker waits although it asks for the first time."""
    desk, now = Desk(), [1000.0]
    user = RefreshToken(SLOW, client_id="app", client_secret="sesame", refresh_token="rt-0")
    first, second = (
        source_at(desk, lambda: now[0], grant=user, store=FileStore(tmp_path / "token"))
        for _ in range(2)
    )
    first.token()
    now[0] += 59.0
    with pytest.raises(errors.ProviderError, match="60 s between") as refused:
        second.refresh()
    assert refused.value.retry_after == pytest.approx(1.0)
    assert second.token().access_token == "at-1"
    assert len(desk.asked) == 1
    now[0] += 1.0
    assert second.refresh().access_token == "at-2"


def test_an_interval_is_in_seconds_from_0_up():
    """Refused at construction, by its name."""
    with pytest.raises(errors.ConfigurationError, match="refresh_interval"):
        dataclasses.replace(SLOW, refresh_interval=-1.0)
