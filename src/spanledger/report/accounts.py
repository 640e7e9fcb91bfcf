"""Budgets and their accounts: what is configured here, and what the ledger knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spanledger.budgets.rule import describe
from spanledger.model import Unit
from spanledger.report.queries import money_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanledger.budgets.rule import Rule
    from spanledger.model import Balance


@dataclass(frozen=True)
class BudgetLines:
    """One budget: its rule, if it is configured in this environment, and its accounts, fullest first."""

    name: str
    rule: Rule | None
    accounts: list[Balance]

    @property
    def text(self) -> str:
        """The rule in the words of its grammar."""
        return describe(self.rule) if self.rule else "not configured in this environment"


def budget_lines(rules: Sequence[Rule], balances: Sequence[Balance]) -> list[BudgetLines]:
    """Configured budgets first, in their order, accounts or not; then those that only the ledger knows."""
    by_name: dict[str, list[Balance]] = {rule.name: [] for rule in rules}
    for balance in balances:
        by_name.setdefault(balance.budget, []).append(balance)
    known = {rule.name: rule for rule in rules}
    return [BudgetLines(name, known.get(name), sorted(accounts, key=_emptiest)) for name, accounts in by_name.items()]


def _emptiest(balance: Balance) -> float:
    return left(balance) / balance.limit if balance.limit else -1.0


def left(balance: Balance) -> int:
    """What may still be reserved; negative if a call used more than was estimated, or nothing blocks."""
    return balance.limit - balance.spent - balance.reserved


def budgets_json(lines: Sequence[BudgetLines]) -> list[dict[str, Any]]:
    """Budgets for programs; amounts in the budget's unit, with the exact decimal beside them where that is money."""
    return [{"budget": line.name, "rule": line.text, "accounts": [_account_json(balance) for balance in line.accounts]} for line in lines]


def _account_json(balance: Balance) -> dict[str, Any]:
    amounts = {"limit": balance.limit, "spent": balance.spent, "reserved": balance.reserved, "left": left(balance)}
    money = {f"{name}_usd": money_json(value)["usd"] for name, value in amounts.items()} if balance.unit is Unit.USD else {}
    return {
        "scope": balance.scope,
        "unit": balance.unit.value,
        **amounts,
        **money,
        "ends": balance.ends,
        "blocking": balance.blocking,
    }
