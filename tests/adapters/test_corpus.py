"""Recorded provider traffic through the real, instrumented clients: what the spans say is what the wire said."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("SPANLEDGER_CORPUS") or ROOT.parent / "shared" / "corpus") / "public-core"

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"no recorded traffic at {CORPUS}; SPANLEDGER_CORPUS names the folder that holds public-core"
)


@pytest.fixture(scope="module")
def report() -> Any:
    spec = importlib.util.spec_from_file_location("corpus_report", ROOT / "tests" / "tools" / "corpus_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_recorded_usage_is_on_the_spans(report: Any, asynchronous: bool) -> None:
    table, notes = report.run(CORPUS, {"openai", "azure-openai", "anthropic"}, asynchronous=asynchronous)
    total = sum(table.values(), Counter())
    assert [note for note in notes if note[0] == "differs"] == []
    assert total["tried"] > 0
    assert total["equal"] > total["tried"] * 0.8


def test_the_expectation_knows_what_providers_mean(report: Any) -> None:
    """The yardstick itself, on numbers worked out by hand."""
    xai = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 268, "completion_tokens_details": {"reasoning_tokens": 256}}
    assert report.expected("xai", "chat.completions", xai) == {"input": 10, "output": 258, "reasoning": 256}
    assert report.expected("openai", "chat.completions", {**xai, "total_tokens": 12}) == {"input": 10, "output": 2, "reasoning": 2}
    cached = {"input_tokens": 25, "output_tokens": 9, "cache_read_input_tokens": 32, "cache_creation_input_tokens": 0}
    assert report.expected("anthropic", "messages", cached) == {"input": 57, "output": 9, "cache_read": 32, "cache_write": 0}
    assert report.expected("openai", "responses", None) is None
