"""The policy file: what it says becomes the rules, and what is wrong with it is said exactly."""

from pathlib import Path

import pytest

from booking_credits.ledger.policies import DefaultTerms, Unit
from booking_credits.policy_file import PolicyFileError, load_policies, read_policies
from booking_credits.policy_record import rules_of
from builders import at, on

TEXT = """\
[default]
policy = "coins"
zone = "Europe/Berlin"
cycle = "quarter"
anchor_date = 2026-02-01

[units.coin]
kind = "money"
scale = 2

[units.minute]
kind = "time"
scale = 0

[locations]
harbour = "coins"

[[policies.coins]]
draw_on = "booking"
overage_due = "start"
channel = "invoice"

[[policies.coins]]
from = 2026-06-01T00:00:00+02:00
draw_on = "start"
unit_order = ["money", "time"]
overage_due = "start"
channel = "card"
"""


def test_the_shipped_file_holds_the_three_seeds() -> None:
    """Coins draw on booking, tenants' credits on completion, packs on start."""
    book = load_policies()

    assert {
        "coins": ("booking", "start", "invoice", 12, True),
        "tenant-credits": ("completion", "cycle_end", "invoice", None, True),
        "packs": ("start", "start", "invoice", None, False),
    } == {
        name: (p.draw_on, p.overage_due, p.channel, p.one_time_months, p.discounts_combine)
        for name, [p] in book.policies.items()
    }
    assert {
        "coin": Unit("coin", "money", 2),
        "minute": Unit("minute", "time", 0),
        "credit": Unit("credit", "count", 0),
    } == book.units
    assert "coins" == book.default.policy


def test_a_file_says_what_an_account_lives_by() -> None:
    """Terms, locations and versions are as written."""
    book = read_policies(TEXT, "policies.toml")

    assert DefaultTerms("coins", "Europe/Berlin", "quarter", on("2026-02-01")) == book.default
    assert {"harbour": "coins"} == book.locations
    assert ["booking", "start"] == [
        book.policy_at("coins", at(instant)).draw_on
        for instant in ("2026-05-31 21:59", "2026-05-31 22:00")
    ]


def test_versions_may_be_written_in_any_order() -> None:
    """The versions of a policy are sorted by when they hold from."""
    head, first, second = TEXT.split("[[policies")
    turned = f"{head}[[policies{second}\n[[policies{first}"

    book, other = read_policies(TEXT, "a"), read_policies(turned, "b")
    assert book == other
    assert rules_of(book) == rules_of(other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('channel = "card"', 'channel = "invoice"'),
        ("scale = 2", "scale = 3"),
        ("scale = 2", 'scale = 2\nworth = { EUR = "2.50" }'),
        ('harbour = "coins"', ""),
        ("anchor_date = 2026-02-01", "anchor_date = 2026-02-02"),
        ("06-01T00:00:00+02:00", "06-01T00:00:01+02:00"),
    ],
)
def test_the_digest_tells_rules_apart(old: str, new: str) -> None:
    """Any rule that changes changes the digest."""
    assert rules_of(read_policies(TEXT, "a")) != rules_of(
        read_policies(TEXT.replace(old, new), "a")
    )


def test_a_value_that_is_usual_is_no_rule() -> None:
    """A ledger from before there was such a value goes on, as long as it stays as it was."""
    asked = TEXT.replace("draw_on", "expiry_notice_days = 7\ndraw_on", 1)

    assert "expiry_notice_days" not in str(rules_of(read_policies(TEXT, "a")))
    assert rules_of(read_policies(TEXT, "a")) != rules_of(read_policies(asked, "a"))


def test_a_unit_of_money_says_what_it_is_worth() -> None:
    """The worth is kept by currency, in its minor unit; a worth of 1 goes without saying."""
    stated = 'scale = 2\nworth = { JPY = "400", EUR = "2.50", KWD = "0.125", USD = "1.00" }'
    book = read_policies(TEXT.replace("scale = 2", stated), "a")

    worth = (("EUR", 250), ("JPY", 400), ("KWD", 125))
    assert Unit("coin", "money", 2, worth) == book.units["coin"]
    assert "worth" not in str(rules_of(read_policies(TEXT, "a")))


def test_the_digest_says_nothing_of_how_the_rules_are_written() -> None:
    """The same instant in another offset, a comment, a default spelled out: the same rules."""
    written = TEXT.replace("2026-06-01T00:00:00+02:00", "2026-05-31T22:00:00Z # summer")
    written = written.replace("scale = 2", 'scale = 2\nworth = { EUR = "1.00" }')
    written += "discounts_combine = true\n"

    assert rules_of(read_policies(TEXT, "a")) == rules_of(read_policies(written, "a"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '["money", "time"]',
            '["money", "weeks"]',
            "p.toml:26: policy \"coins\": unit_order: input should be 'money', 'time' or 'count'",
        ),
        (
            '["money", "time"]',
            '["money"]',
            'p.toml:26: policy "coins": unit_order names no kind "time"',
        ),
        (
            '["money", "time"]',
            '["money", "time", "time"]',
            'p.toml:26: policy "coins": unit_order names the kind "time" twice',
        ),
        (
            "from = 2026-06-01T00:00:00+02:00\n",
            "",
            'p.toml:23: policy "coins": from: another version begins at the same time',
        ),
        (
            "from = 2026-06-01T00:00:00+02:00",
            "from = 2026-06-01",
            'p.toml:24: policy "coins": from: input should be a valid datetime',
        ),
        (
            "scale = 2",
            'scale = 2\nworth = { EUR = "0.00" }',
            "p.toml:10: units.coin.worth.EUR: a worth is greater than zero",
        ),
        (
            "scale = 2",
            'scale = 2\nworth = { JPY = "2.5" }',
            "p.toml:10: units.coin.worth.JPY: an amount of JPY has 0 decimals",
        ),
        (
            "scale = 2",
            "scale = 2\nworth = { EUR = 2.5 }",
            "p.toml:10: units.coin.worth.EUR: input should be a valid string",
        ),
        (
            "scale = 2",
            'scale = 2\nworth = { XXX = "2" }',
            "p.toml:10: units.coin.worth.XXX: not an ISO 4217 code in use",
        ),
        (
            "scale = 0",
            'scale = 0\nworth = { EUR = "2" }',
            'p.toml:14: units.minute.worth.EUR: only the kind "money" has a worth, not "time"',
        ),
        (
            "[units.coin]",
            "".join(f'[units.coin-{n}]\nkind = "money"\nscale = 0\n' for n in range(8))
            + "[units.coin]",
            "units: a line costs at most 8 units of money",
        ),
        ("scale = 2", "scale = 7", "p.toml:9: units.coin.scale: input should be less than"),
        ("scale = 2", "scale = 2\nsize = 1", "p.toml:10: units.coin.size: extra inputs are not"),
        ('policy = "coins"', 'policy = "x"', 'p.toml:2: default.policy: there is no policy "x"'),
        ('= "coins"\n\n', '= "x"\n\n', 'p.toml:16: locations.harbour: there is no policy "x"'),
        ("Europe/Berlin", "Mars/North", "p.toml:3: default.zone: not an IANA time zone"),
        ('"quarter"', '"week"', "p.toml:4: default.cycle: input should be 'month', 'quarter' or"),
        ("scale = 2", "scale = ", "p.toml:9: Invalid value"),
        ("[[policies.coins]]\nfrom", "[[policies.coins\nfrom", "p.toml:23: Expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, message: str) -> None:
    """The message names the file, the line and the reason."""
    assert old in TEXT
    with pytest.raises(PolicyFileError) as caught:
        read_policies(TEXT.replace(old, new, 1), "p.toml")

    assert message in str(caught.value)


def test_every_mistake_is_said_at_once() -> None:
    """A person need not run it again for the second mistake."""
    text = TEXT.replace("scale = 2", "scale = -1").replace("Europe/Berlin", "Mars/North")
    with pytest.raises(PolicyFileError) as caught:
        read_policies(text, "p.toml")

    assert 2 == len(str(caught.value).splitlines())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(PolicyFileError, match=r"nowhere\.toml"):
        load_policies(tmp_path / "nowhere.toml")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    """A deployment's file takes the place of the shipped one."""
    path = tmp_path / "ours.toml"
    path.write_text(TEXT, encoding="utf-8")

    assert read_policies(TEXT, "ours.toml") == load_policies(path)
