"""What the tests of pricing share."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from spanledger.pricing.book import PriceBook
from spanledger.pricing.catalogue import Catalogue

NOW = 1_795_000_000.0  # 2026-11-18


@pytest.fixture
def now() -> float:
    """A time at which the shipped prices are known."""
    return NOW


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The shipped prices; slow to make, never changed."""
    return Catalogue()


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """A price book without a file of the user's."""
    return PriceBook()


@pytest.fixture(scope="session")
def recorded():
    """A function that yields the recorded interactions of a provider; skips the test where there are none."""
    folder = Path(os.environ.get("SPANLEDGER_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus") / "public"
    if not folder.is_dir():
        pytest.skip(f"no recorded provider traffic in {folder}; set SPANLEDGER_CORPUS to its folder")

    def read(provider):
        with gzip.open(folder / f"{provider}.jsonl.gz", "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    return read
