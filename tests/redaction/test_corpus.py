"""Measured on labelled data from open repositories: how much is found, how much of what is found is right, how much is masked needlessly.

The data is not part of this project (its licences are many). Its folder is named by ``SPANLEDGER_PII`` or stands beside the repository as
``shared/pii``; it holds ``*.jsonl.gz`` (one record a line: ``text``, ``spans``, ``scored``), ``telemetry_clean.json.gz`` (texts without personal
data) and ``semconv_keys.json`` (attribute keys of OpenTelemetry).
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.redaction import detectors, keys
from spanledger.redaction.redactor import Redactor
from spanledger.redaction.text import Budget

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine
    from spanledger.redaction.text import Span

FOLDER = Path(os.environ.get("SPANLEDGER_PII") or Path(__file__).parents[3] / "shared" / "pii")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no labelled data: {FOLDER} (SPANLEDGER_PII) is absent")

GOALS = {"EMAIL": 0.97, "PHONE": 0.96, "CREDIT_CARD": 0.98, "US_SSN": 0.87, "IBAN": 0.98, "IP": 0.96, "MAC": 0.93}
SECRETS = frozenset({"API_KEY", "JWT", "PRIVATE_KEY", "PASSWORD", "URL_CREDS"})
SECRETS_FOUND, FLAGGED_WITHOUT = 0.83, 0.23
NEEDLESS = 0.0001

Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [json.loads(line) for path in sorted(FOLDER.glob("*.jsonl.gz")) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def found(records: list[Record], engine: Engine) -> list[list[Span]]:
    return [detectors.find(engine, record["text"], Budget(1_000_000)) for record in records]


def masked(record: Record, spans: list[Span], wanted: Record) -> float:
    """The part of a labelled value's letters and digits that any span covers."""
    places = [index for index in range(wanted["start"], wanted["end"]) if record["text"][index].isalnum()]
    return sum(any(span.start <= index < span.end for span in spans) for index in places) / max(1, len(places))


def scores(records: list[Record], found: list[list[Span]]) -> dict[str, float]:
    """F1 by label. Recall: wholly masked, under any label. Precision: of the spans in records where that label is exhaustively marked."""
    hit, wanted, right, given = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for record, spans in zip(records, found, strict=True):
        for span in record["spans"]:
            if not span.get("optional"):
                wanted[span["label"]] += 1
                hit[span["label"]] += masked(record, spans, span) == 1
        for guess in spans if not record.get("recall_only") else ():
            if guess.label in record["scored"]:
                given[guess.label] += 1
                right[guess.label] += any(
                    span["start"] < guess.end and guess.start < span["end"] and (span["label"] == guess.label or span.get("optional"))
                    for span in record["spans"]
                )
    recall = {label: hit[label] / wanted[label] for label in GOALS}
    precision = {label: right[label] / given[label] for label in GOALS}
    return {label: 2 * recall[label] * precision[label] / (recall[label] + precision[label]) for label in GOALS}


def test_accuracy(records: list[Record], found: list[list[Span]]) -> None:
    measured = scores(records, found)
    assert {label: score for label, score in measured.items() if score < GOALS[label]} == {}


def test_secrets_found(records: list[Record], found: list[list[Span]]) -> None:
    results = [
        masked(record, spans, span) >= 0.9
        for record, spans in zip(records, found, strict=True)
        for span in record["spans"]
        if span["label"] in SECRETS and not span.get("optional")
    ]
    assert sum(results) / len(results) >= SECRETS_FOUND


def test_few_records_without_a_secret_are_flagged(records: list[Record], found: list[list[Span]]) -> None:
    """They are near misses of a vendor's format, made to look like one."""
    flagged = [
        any(span.label in SECRETS | {"SECRET", "AUTHORIZATION", "COOKIE"} for span in spans)
        for record, spans in zip(records, found, strict=True)
        if (SECRETS | {"SECRET"}) & set(record["scored"]) and not any(span["label"] in SECRETS for span in record["spans"])
    ]
    assert sum(flagged) / len(flagged) <= FLAGGED_WITHOUT


def test_engines_agree(records: list[Record], engines: tuple[Engine, Engine]) -> None:
    differing = [
        record["id"]
        for record in records
        if detectors.find(engines[0], record["text"], Budget(1_000_000)) != detectors.find(engines[1], record["text"], Budget(1_000_000))
    ]
    assert differing == []


def test_little_is_masked_needlessly(engine: Engine) -> None:
    texts = json.loads(gzip.decompress((FOLDER / "telemetry_clean.json.gz").read_bytes()))
    spans = [span for text in texts for span in detectors.find(engine, text, Budget(1_000_000))]
    assert sum(span.end - span.start for span in spans) / sum(map(len, texts)) <= NEEDLESS


def test_what_is_redacted_stays_as_it_is(records: list[Record], engine: Engine) -> None:
    redactor = Redactor(engine=engine)
    once = [redactor.text(record["text"]) for record in records]
    changed = [text for text in once if redactor.text(text) != text]
    assert len(changed) <= len(once) // 500  # a shorter text brings words closer to numbers; never more than that


def test_keys_of_the_conventions_survive() -> None:
    names = json.loads((FOLDER / "semconv_keys.json").read_text("utf-8"))
    assert [name for name in names if "token" in name and (keys.label(name) or keys.maybe(name))] == []
    assert sum(keys.label(name) is not None for name in names) <= 6
    redactor = Redactor()
    assert redactor.attributes(dict.fromkeys(names, 4155550132) | dict.fromkeys([name for name in names if keys.label(name)], True)) is None
