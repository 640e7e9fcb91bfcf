"""Random schedules of calls, retries, crashes and late settlements, against a model too simple to be wrong."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Charge, Cost, CostStatus, Entry, Hold, State, Unit, Usage

ACCOUNTS = ("A", "B", "C")
IDS = [f"call{number}" for number in range(8)]
ids = st.sampled_from(IDS)
amounts = st.dictionaries(st.sampled_from(ACCOUNTS), st.integers(0, 60), max_size=3)
states = st.sampled_from(list(State))


@dataclass
class Lease:
    amounts: dict[str, int]
    expires: float


@dataclass
class Line:
    amounts: dict[str, int]
    state: State
    swept: bool


class Books(RuleBasedStateMachine):
    """The model: what is reserved and what is charged, by call. Everything else is a sum over it."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[str, Lease] = {}
        self.lines: dict[str, Line] = {}
        self.limits = dict.fromkeys(ACCOUNTS, 100)
        self.ended: dict[str, bool] = {}
        """Each call is an attempt of one step; whether it went well."""
        self.now = 1000.0

    def make(self):
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.ledger = self.make()

    def spent(self, account: str) -> int:
        return sum(line.amounts.get(account, 0) for line in self.lines.values())

    def reserved(self, account: str) -> int:
        return sum(lease.amounts.get(account, 0) for lease in self.leases.values())

    def charges(self, amounts: dict[str, int]) -> list[Charge]:
        return [(Hold(name, name, "", Unit.TOKENS, self.limits[name]), amount) for name, amount in amounts.items()]

    def entry(self, id_: str, amounts: dict[str, int], state: State) -> Entry:
        tokens = sum(amounts.values())
        entry = Entry(id_, self.now, Activity.LLM, "p", "chat", usage=Usage(tokens, 0, state=state), cost=Cost(tokens, CostStatus.EXACT))
        return replace(entry, execution="run", step="step", attempt=IDS.index(id_))

    def fits(self, account: str, amount: int) -> bool:
        used = self.spent(account) + self.reserved(account)
        return used + amount <= self.limits[account] and not (amount == 0 and used >= self.limits[account])

    @rule(id_=ids, amounts=amounts, lease=st.integers(1, 50))
    def reserve(self, id_: str, amounts: dict[str, int], lease: int) -> None:
        refusal = self.ledger.reserve(self.entry(id_, amounts, State.ESTIMATED), self.charges(amounts), self.now + lease)
        if id_ in self.leases:
            assert refusal is None
            return
        blocked = [account for account, amount in amounts.items() if not self.fits(account, amount)]
        assert (refusal.hold.account if refusal else None) == (blocked[0] if blocked else None)
        if refusal:
            assert (refusal.spent, refusal.reserved) == (self.spent(blocked[0]), self.reserved(blocked[0]))
        else:
            self.leases[id_] = Lease(amounts, self.now + lease)
            assert all(self.spent(account) + self.reserved(account) <= self.limits[account] for account in amounts)

    @rule(id_=ids, amounts=amounts, state=states)
    def settle(self, id_: str, amounts: dict[str, int], state: State) -> None:
        standings = self.ledger.settle(self.entry(id_, amounts, state), self.charges(amounts))
        self.leases.pop(id_, None)
        there = self.lines.get(id_)
        charged = there is None or there.swept or (there.state != State.EXACT and state == State.EXACT)
        if charged:
            self.lines[id_] = Line(amounts, state, swept=False)
        now = [(hold, self.spent(hold.account), self.reserved(hold.account)) for hold, _ in self.charges(amounts)]
        assert standings == (now if charged else [])

    @rule(id_=ids)
    def release(self, id_: str) -> None:
        self.ledger.release(id_)
        self.leases.pop(id_, None)

    @rule(id_=ids, lease=st.integers(1, 100))
    def renew(self, id_: str, lease: int) -> None:
        self.ledger.renew([id_], self.now + lease)
        if id_ in self.leases:
            self.leases[id_].expires = max(self.leases[id_].expires, self.now + lease)

    @rule(passed=st.integers(0, 60))
    def sweep(self, passed: int) -> None:
        self.now += passed
        expired = {id_: lease for id_, lease in self.leases.items() if lease.expires < self.now}
        written = {entry.id for entry in self.ledger.sweep(self.now)}
        assert written == expired.keys() - self.lines.keys()
        for id_, lease in expired.items():
            del self.leases[id_]
            self.lines.setdefault(id_, Line(lease.amounts, State.UNKNOWN, swept=True))

    @rule(id_=ids, ok=st.booleans())
    def end_step(self, id_: str, ok: bool) -> None:
        self.ledger.end_step("run", "step", IDS.index(id_), ok=ok)
        self.ended[id_] = ok

    @rule(account=st.sampled_from(ACCOUNTS), limit=st.integers(0, 200))
    def change_limit(self, account: str, limit: int) -> None:
        self.limits[account] = limit

    @rule()
    def reopen(self) -> None:
        self.ledger.close()

    @invariant()
    def sums_are_equal(self) -> None:
        balances = {one.account: (one.spent, one.reserved) for one in self.ledger.balances(self.now)}
        assert {account: balances.get(account, (0, 0)) for account in ACCOUNTS} == {
            account: (self.spent(account), self.reserved(account)) for account in ACCOUNTS
        }
        assert self.ledger.open_leases() == len(self.leases)
        assert {entry.id: (entry.usage.total, entry.usage.state) for entry in self.ledger.entries()} == {
            id_: (sum(line.amounts.values()), line.state) for id_, line in self.lines.items()
        }
        (total,) = self.ledger.totals()
        assert (total.calls, total.nano_usd) == (len(self.lines), sum(sum(line.amounts.values()) for line in self.lines.values()))

    @invariant()
    def one_attempt_counts(self) -> None:
        """Of those that ended: the last that went well, else the last."""
        counts = max(self.ended, key=lambda id_: (self.ended[id_], id_), default=None)
        superseded = {entry.id for entry in self.ledger.entries() if entry.superseded}
        assert superseded == (self.ended.keys() & self.lines.keys()) - {counts}


class MemoryBooks(Books):
    def make(self) -> MemoryLedger:
        return MemoryLedger()


class SqliteBooks(Books):
    def make(self) -> SqliteLedger:
        self.directory = tempfile.TemporaryDirectory()
        return SqliteLedger(Path(self.directory.name) / "ledger.db")

    def teardown(self) -> None:
        self.ledger.close()
        self.directory.cleanup()


TestMemory = MemoryBooks.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, database=None)
TestSqlite = SqliteBooks.TestCase
TestSqlite.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
