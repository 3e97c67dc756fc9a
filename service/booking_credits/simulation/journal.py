"""Journal: what was told about an account and what became of it, so that it can be explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic_core import from_json

from booking_credits.enquiries.answers import TreeAnswer
from booking_credits.enquiries.explanation import explain, zone_of
from booking_credits.enquiries.sources import Moved, Revised, Sources, Told
from booking_credits.ledger.announcements import OverageDetected
from booking_credits.ledger.answers import answer_of

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.posting.batch import Arrival


@dataclass
class Journal:
    """What happened in one account, each in its order."""

    told: list[Told] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    revised: list[Revised] = field(default_factory=list)

    def note(self, arrival: Arrival, outcome: Outcome) -> None:
        """Note an arrival and its outcome."""
        fact, fact_no = outcome.fact, outcome.numbers.fact
        self.told.append(
            Told(
                fact_no,
                fact.subject,
                arrival.type,
                arrival.source,
                arrival.event_id,
                fact.occurred_at,
                arrival.recorded_at,
                from_json(arrival.payload),
                answer_of(fact),
            )
        )
        self.moved += (Moved(number, fact_no, entry) for number, entry in outcome.entries)
        for announcement in outcome.announcements:
            content = announcement.content
            if isinstance(content, OverageDetected):
                self.revised.append(_revised(fact_no, content))

    def explanations(self, record: AccountRecord, now: datetime) -> list[TreeAnswer]:
        """Explain every booking that the account heard of, as its record stands."""
        sources = Sources(self.told, self.moved, self.revised)
        booking_ids = {told.data["booking_id"] for told in self.told if "booking_id" in told.data}
        return [
            TreeAnswer(
                {"complete_through": now}, explain(record, sources, booking_id), zone_of(record)
            )
            for booking_id in sorted(booking_ids)
        ]


def _revised(fact_no: int, overage: OverageDetected) -> Revised:
    owed = overage.obligation
    return Revised(
        fact_no, owed.key, owed.revision, overage.status, overage.change_minor, owed.total_minor
    )
