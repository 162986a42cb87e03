"""Tests of single days on which a subscription changes. The state machine tests all other days."""

from __future__ import annotations

from datetime import date

from fastapi_ignite.billing.terms import BillingCycle, SubscriptionStatus, Terms

MONTHLY, ANNUAL = BillingCycle.MONTHLY, BillingCycle.ANNUAL


def parse_date(text: str) -> date:
    return date.fromisoformat(text)


def test_a_downgrade_keeps_the_day_of_the_month() -> None:
    """The subscription begins on the 31st, is downgraded on February 28, and is billed on March 31 again."""
    terms = Terms.begin("pro", MONTHLY, parse_date("2026-01-31")).subscribe(
        "hobby", MONTHLY, parse_date("2026-02-10"), downgrade=True
    )
    assert terms.pending
    assert terms.pending.effective_on == parse_date("2026-02-28")
    assert terms.on(parse_date("2026-02-27")).plan_id == "pro"
    later = terms.on(parse_date("2026-02-28"))
    assert (later.plan_id, later.pending) == ("hobby", None)
    assert later.billing_window(parse_date("2026-03-30")).end == parse_date("2026-03-30")
    assert later.billing_window(parse_date("2026-03-31")).end == parse_date("2026-04-29")


def test_a_downgrade_to_another_cycle_begins_its_window_on_its_day() -> None:
    terms = Terms.begin("pro", ANNUAL, parse_date("2026-01-31")).subscribe(
        "hobby", MONTHLY, parse_date("2026-06-10"), downgrade=True
    )
    later = terms.on(parse_date("2027-02-03"))
    assert later.billing_anchor == parse_date("2027-01-31")
    assert later.billing_window(parse_date("2027-02-03")).start == parse_date("2027-01-31")
    assert terms.billing_window(parse_date("2027-02-03")) == later.billing_window(parse_date("2027-02-03"))


def test_coming_back_within_the_quota_month_refills_nothing() -> None:
    terms = Terms.begin("pro", MONTHLY, parse_date("2026-01-01"))
    terms = terms.subscribe("pro", ANNUAL, parse_date("2026-01-10"), downgrade=False)
    ended = terms.cancel(parse_date("2026-03-05"))
    assert ended.ends_on == parse_date("2027-01-10")
    back = ended.subscribe("hobby", MONTHLY, parse_date("2027-01-20"), downgrade=True)
    assert back.quota_window(parse_date("2027-01-20")).start == parse_date("2027-01-01")
    assert (back.plan_id, back.billing_anchor, back.pending) == ("hobby", parse_date("2027-01-20"), None)
    much_later = ended.subscribe("hobby", MONTHLY, parse_date("2027-02-15"), downgrade=False)
    assert much_later.quota_anchor == parse_date("2027-02-15")


def test_an_unpaid_window_is_served_for_its_grace() -> None:
    begun = Terms.begin("pro", MONTHLY, parse_date("2026-01-01"))
    march = begun.billing_window(parse_date("2026-03-01"))
    terms = begun.unpaid(march, parse_date("2026-03-03"), 7)
    assert terms.unpaid(march, parse_date("2026-03-05"), 7) == terms
    statuses = [terms.status(parse_date(day)) for day in ("2026-02-28", "2026-03-01", "2026-03-09", "2026-03-10")]
    assert statuses == [
        SubscriptionStatus.ACTIVE,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.EXPIRED,
    ]
    assert terms.overdue(parse_date("2026-03-10"))
    assert terms.paid().status(parse_date("2026-03-10")) is SubscriptionStatus.ACTIVE


def test_what_is_owed_outlives_a_cancellation() -> None:
    terms = Terms.begin("pro", MONTHLY, parse_date("2026-01-01")).cancel(parse_date("2026-01-05"))
    terms = terms.unpaid(terms.billing_window(parse_date("2026-01-30")), parse_date("2026-01-30"), 7)
    assert terms.ended_on == parse_date("2026-02-01")
    again = terms.subscribe("pro", MONTHLY, parse_date("2026-02-02"), downgrade=False)
    assert again.status(parse_date("2026-02-02")) is SubscriptionStatus.PAST_DUE
    assert again.status(parse_date("2026-02-06")) is SubscriptionStatus.EXPIRED
