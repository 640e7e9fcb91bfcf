"""The local provider, for tests that let real clients talk to it, and the folder of the examples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from local_provider import LocalProvider  # noqa: E402  # importable only now


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as running:
        yield running


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return ROOT
