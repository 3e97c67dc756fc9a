"""Commands that run inside the tests leave the tests' own logs alone."""

import pytest


@pytest.fixture(autouse=True)
def _keep_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("booking_credits.enquiries.commands.configure_logs", lambda *_: None)
