"""Any JSON: never an answer of 5xx, never a private value in a record, never a broken chain."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.ledger.chain import first_broken

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE = (
    "john.doe@example.com", "Jane.Roe+x@mail.example.co.uk", "sk-proj-Ab3dEfGh1jKlMn0pQrStUvWxYz012345", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "4111 1111 1111 1111", "+49 151 23456789", "AKIAIOSFODNN7EXAMPLE", "postgresql://admin:hunter22secret@db.example.org/books",
)  # fmt: skip
UNKNOWN = "acme-customer"

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(PRIVATE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
private_text = st.builds(
    lambda before, secret, after: f"{before} {secret} {after}", st.text(max_size=15), st.sampled_from(PRIVATE), st.text(max_size=15)
)
kept_labels = dict.fromkeys(("service_name", "source", "job", "instance", "place", "budget", "exporter"), private_text | any_json)
labels = st.fixed_dictionaries(
    {"severity": st.sampled_from(["critical", "warning"])},
    optional={"alertname": private_text, "audit": st.sampled_from(["true", "false"]), "customer": st.just(UNKNOWN), **kept_labels},
)
alerts = st.fixed_dictionaries(
    {"labels": labels | any_json},
    optional={
        "status": st.sampled_from(["firing", "resolved"]) | any_json,
        "fingerprint": st.sampled_from(["1a30ba71cca2921f", "ffffffffffffffff"]) | private_text | any_json,
        "startsAt": st.just("2026-02-06T13:08:45Z") | st.datetimes().map(lambda moment: moment.isoformat() + "Z") | private_text | any_json,
        "endsAt": st.just("0001-01-01T00:00:00+14:00") | any_json,
        "annotations": st.fixed_dictionaries({"summary": private_text, "description": st.just(UNKNOWN)}) | any_json,
        "generatorURL": st.just(f"http://x/?q={UNKNOWN}"),
    },
)
good = st.fixed_dictionaries(
    {
        "labels": st.fixed_dictionaries(
            {"severity": st.just("critical"), "alertname": private_text, "customer": st.just(UNKNOWN), **kept_labels}
        ),
        "status": st.sampled_from(["firing", "resolved"]),
        "startsAt": st.just("2026-02-06T13:08:45Z"),
        "annotations": st.fixed_dictionaries({"summary": private_text, "description": st.just(UNKNOWN)}),
    }
)
payloads = any_json | st.fixed_dictionaries({"alerts": st.lists(alerts | any_json, max_size=4) | any_json})


def test_any_json(ledger: Any, serving: Callable[..., str], post: Callable[..., Any]) -> None:
    url = serving(ledger)
    statuses: set[int] = set()
    number = itertools.count()

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads, good)
    def send(body: Any, readable: dict[str, Any]) -> None:
        statuses.add(post(url, body).status)
        reply = post(url, {"alerts": [{**readable, "fingerprint": f"{next(number):016x}"}]})
        assert (reply.status, reply.body["written"]) == (200, 1)

    send()
    assert statuses == {200, 400}
    records = list(ledger.audit())
    assert len(records) >= 300
    assert first_broken(records) is None
    for record in records:
        for private in (*PRIVATE, UNKNOWN):
            assert private not in record.text, private
            assert private not in record.key, private


def test_any_bytes(ledger: Any, serving: Callable[..., str], post: Callable[..., Any]) -> None:
    url = serving(ledger)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200))
    def send(body: bytes) -> None:
        assert post(url, body).status == 400

    send()
    assert list(ledger.audit()) == []
