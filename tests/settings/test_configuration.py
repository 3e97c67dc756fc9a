"""Configuration: settings, secrets in files, and what the commands say of them."""

from pathlib import Path

import pytest
from faststream.kafka.security import parse_security
from typer.testing import CliRunner, Result

from booking_credits.cli import app
from booking_credits.kafka_access import broker_security, client_options
from booking_credits.settings import Settings, read_settings

_PREFIX = "BOOKING_CREDITS_"
_TLS = "postgresql://db/ledger?sslmode=verify-full&sslrootcert="


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{_PREFIX}{name.upper()}", raising=False)
    for name in ("TEST_KAFKA", "TEST_POSTGRES"):
        monkeypatch.delenv(f"{_PREFIX}{name}", raising=False)


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file's last line end is not part of it."""
    monkeypatch.setenv(f"{_PREFIX}POSTGRES_DSN_FILE", _written(tmp_path, "postgresql://a:b@c/d\n"))
    assert "postgresql://a:b@c/d" == read_settings().postgres_dsn.get_secret_value()


def test_a_variable_goes_before_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever sets both for a moment gets the variable."""
    monkeypatch.setenv(f"{_PREFIX}KAFKA_PASSWORD_FILE", _written(tmp_path, "in the file"))
    monkeypatch.setenv(f"{_PREFIX}KAFKA_PASSWORD", "in the variable")
    password = read_settings().kafka_password
    assert password is not None
    assert "in the variable" == password.get_secret_value()


def test_only_secrets_have_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file for what is no secret is a slip, and is named as one."""
    monkeypatch.setenv(f"{_PREFIX}GROUP_ID_FILE", _written(tmp_path, "mine"))
    assert "booking-credits" == read_settings().group_id
    assert "BOOKING_CREDITS_GROUP_ID_FILE is no setting\n" == _run("check").stderr


def test_show_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has its line, and no part of a secret is in any."""
    monkeypatch.setenv(f"{_PREFIX}POSTGRES_DSN", "postgresql://dora:hunter2@db/ledger")
    monkeypatch.setenv(f"{_PREFIX}KAFKA_PASSWORD", "hunter2")
    said = _run("show")
    assert 0 == said.exit_code
    assert "hunter2" not in said.output
    assert "BOOKING_CREDITS_POSTGRES_DSN=********" in said.stdout.splitlines()
    assert len(Settings.model_fields) == len(said.stdout.splitlines())


def test_check_accepts_what_can_be_used() -> None:
    """The defaults can be used."""
    said = _run("check")
    assert (0, "The settings can be used.\n", "") == (said.exit_code, said.stdout, said.stderr)


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("BATCH_RECORDS", "many", "BOOKING_CREDITS_BATCH_RECORDS: Input should be a valid integer"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "KAFKA_SECURITY_PROTOCOL asks for KAFKA_USERNAME"),
        ("KAFKA_CA_FILE", "/no/such/file", "BOOKING_CREDITS_KAFKA_CA_FILE: Path does not point to"),
        ("POSTGRES_DSN_FILE", "/no/such/file", "/no/such/file: No such file or directory"),
        ("POLICIES", "/no/such/file", "/no/such/file"),
        (
            "POSTGRES_DSN",
            "booking_credits",
            "BOOKING_CREDITS_POSTGRES_DSN: not of the form postgres",
        ),
        ("POSTGRES_DSN", "postgresql://db:port/ledger", "DSN: not of the form postgresql://user"),
        ("POSTGRES_DSN", "postgresql://db/ledger?sslmode=mostly", "DSN: not of the form postgres"),
        ("POSTGRES_DSN", f"{_TLS}/no/such/file", "DSN: its TLS files cannot be used: No such file"),
        ("POSTGRES_DSN", f"{_TLS}{__file__}", "DSN: its TLS files cannot be used: [X509"),
    ],
)
def test_check_says_what_cannot_be_used(
    variable: str, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named, and starting would end in the same code."""
    monkeypatch.setenv(f"{_PREFIX}{variable}", text)
    said = _run("check")
    assert 2 == said.exit_code
    assert problem in said.stderr.replace("\n", " ")


@pytest.mark.parametrize("command", ["serve", "verify", "migrate", "clock"])
def test_an_address_that_cannot_be_read_is_a_matter_of_settings(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is that of a slip in the settings, and no part of a password is repeated."""
    monkeypatch.setenv(f"{_PREFIX}POSTGRES_DSN", "postgresql://dora:hunter2/too@db/ledger")
    said = CliRunner().invoke(app, [command])
    assert 2 == said.exit_code
    assert "BOOKING_CREDITS_POSTGRES_DSN: not of the form" in said.output
    assert "hunter2" not in said.output


def test_check_finds_an_authority_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file of certificates without any is found before the first connection."""
    monkeypatch.setenv(f"{_PREFIX}KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(f"{_PREFIX}KAFKA_CA_FILE", _written(tmp_path, "no certificate"))
    assert 2 == _run("check").exit_code


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_every_client_logs_in_alike(
    protocol: str, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastStream's broker and aiokafka's own clients get the same login."""
    monkeypatch.setenv(f"{_PREFIX}KAFKA_SECURITY_PROTOCOL", protocol)
    monkeypatch.setenv(f"{_PREFIX}KAFKA_SASL_MECHANISM", mechanism)
    monkeypatch.setenv(f"{_PREFIX}KAFKA_USERNAME", "dora")
    monkeypatch.setenv(f"{_PREFIX}KAFKA_PASSWORD", "hunter2")
    settings = read_settings()
    security, options = broker_security(settings), client_options(settings)
    login = (protocol, mechanism, "dora", "hunter2")
    names = ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    assert login == tuple(options[name] for name in names)
    assert login == tuple(parse_security(security)[name] for name in names)
    assert (protocol == "SASL_SSL") == (options["ssl_context"] is not None)


def _written(folder: Path, text: str) -> str:
    file = folder / "file"
    file.write_text(text)
    return str(file)


def _run(command: str) -> Result:
    return CliRunner().invoke(app, ["config", command])
