"""Ids of entries, executions, traces and spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.engine import runtime


@pytest.mark.parametrize(("beyond", "form"), [(runtime.IN_32_DIGITS, "032x"), (runtime.IN_16_DIGITS, "016x")])
@given(data=st.data())
def test_digits_are_those_of_format(beyond: int, form: str, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, beyond - 1))
    assert runtime.digits(number, beyond) == format(number, form)


def test_ids_are_as_long_as_those_of_traces() -> None:
    ids = {runtime.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(one) for one in ids} == {32}
