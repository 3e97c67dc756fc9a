"""Why what is uncovered was not paid, with the grants that were refused."""

import pytest

from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.facts import GrantFact, Scope
from booking_credits.ledger.reasons import Reason, Refusal
from builders import a_book, a_booking, a_grant, a_line, a_pack, a_record, post

USED_UP = a_grant("used-up", 1)
CREDITS = a_grant("credits", unit="credit")
TREEHOUSE = a_grant("treehouse", scope=Scope(resources=("treehouse",)))
APRIL = a_grant("april", valid_from="2026-04-01 00:00")
PENDING = a_pack("pending", unit="coin")
FEBRUARY = a_grant("february", valid_to="2026-03-01 00:00")


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ([], [("no_grant", ())]),
        ([CREDITS], [("unit_mismatch", ("credits",))]),
        ([TREEHOUSE], [("out_of_scope", ("treehouse",))]),
        ([PENDING], [("pending_approval", ("pending",))]),
        ([APRIL], [("not_yet_valid", ("april",))]),
        ([FEBRUARY], [("expired", ("february",))]),
        ([USED_UP], [("exhausted", ("used-up",))]),
        (
            [USED_UP, FEBRUARY, APRIL, PENDING, TREEHOUSE, CREDITS],
            [
                ("unit_mismatch", ("credits",)),
                ("out_of_scope", ("treehouse",)),
                ("pending_approval", ("pending",)),
                ("not_yet_valid", ("april",)),
                ("expired", ("february",)),
                ("exhausted", ("used-up",)),
            ],
        ),
    ],
)
def test_every_refusal_has_its_reason(
    grants: list[GrantFact], expected: list[tuple[Reason, tuple[str, ...]]]
) -> None:
    """Reasons come in their precedence, each with the grants that it holds for."""
    assert [Refusal(*reason) for reason in expected] == _refusals(*grants)


def test_grants_refused_for_one_reason_are_named_together() -> None:
    """Each reason stands once."""
    both = (a_grant("b", 1), a_grant("a", 1))
    assert [Refusal("exhausted", ("a", "b"))] == _refusals(*both)


def test_only_the_nearest_grants_are_named() -> None:
    """Of those that ended the last, of those to come the first: others add nothing."""
    older = a_grant("january", valid_to="2026-02-01 00:00")
    later = a_grant("may", valid_from="2026-05-01 00:00")
    expected = [Refusal("not_yet_valid", ("april",)), Refusal("expired", ("february",))]
    assert expected == _refusals(older, FEBRUARY, APRIL, later)


def test_a_covered_line_has_no_reasons() -> None:
    """Nothing is uncovered, so nothing is to be explained."""
    assert [] == _refusals(a_grant())


def test_a_line_that_credits_may_not_pay_has_no_reasons() -> None:
    """It says that it is not eligible, which is all there is to say."""
    assert [] == _refusals(line_costs={})


def _refusals(*grants: GrantFact, line_costs: dict[str, int] | None = None) -> list[Refusal]:
    """Book one line and return the reasons that the decision gives."""
    costs = {"coin": 1000} if line_costs is None else line_costs
    record = a_record(*grants, book=a_book(policy="packs"))
    (outcome,) = post(record, [a_booking("standup", a_line(costs=costs))])
    contents = [announcement.content for announcement in outcome.announcements]
    (decided,) = [content for content in contents if isinstance(content, CoverageDecided)]
    return list(decided.lines[0].refusals)
