"""Both engines, and values that look like secrets, put together when the tests run so that no scanner takes this repository for a leak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spanledger.redaction.engine import Re2, Standard

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine


@pytest.fixture(scope="session", params=["re2", "re"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """google-re2 and the standard library, one after the other."""
    if request.param == "re":
        return Standard()
    pytest.importorskip("re2")
    return Re2()


@pytest.fixture(scope="session")
def engines() -> tuple[Engine, Engine]:
    """Both, to be compared."""
    pytest.importorskip("re2")
    return Re2(), Standard()
