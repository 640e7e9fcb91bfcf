"""What an application reads when a call was refused."""

from __future__ import annotations

import pickle

import pytest

from spanledger.errors import BudgetExceeded
from spanledger.model import Hold, Refusal, Unit


@pytest.mark.parametrize(
    ("nano", "shown"), [(0, "0.000000 USD"), (180, "0.000000180 USD"), (1_000, "0.000001 USD"), (20_000_000_000, "20.000000 USD")]
)
def test_an_amount_of_money_is_never_shown_as_nothing(nano: int, shown: str) -> None:
    refusal = BudgetExceeded(Refusal(Hold("DAY", "DAY", "customer=acme", Unit.USD, 10**9, None), asked=nano, spent=nano, reserved=0))

    assert f"spent {shown}, reserved 0.000000 USD, asked {shown}" in str(refusal)
    assert str(pickle.loads(pickle.dumps(refusal))) == str(refusal)


@pytest.mark.parametrize(
    ("budget", "shown"), [("DAY", "budget DAY for customer=acme refused this call: no price"), ("", "this call was refused: no price")]
)
def test_a_refusal_for_another_reason_tells_that_and_no_amounts(budget: str, shown: str) -> None:
    refusal = BudgetExceeded(
        Refusal(Hold("", budget, "customer=acme", Unit.USD, 10**9, None), asked=0, spent=0, reserved=0, reason="no price")
    )

    assert (str(refusal), refusal.reason) == (shown, "no price")
    assert pickle.loads(pickle.dumps(refusal)).reason == "no price"
