"""What forks do to those that hold something."""

from __future__ import annotations

import os
from typing import Any

import pytest

from spanledger import fork


class Resting:
    """Comes to rest before a fork, or is interrupted."""

    def __init__(self) -> None:
        self.rests, self.interrupted = False, False
        fork.watch(self)

    def before_fork(self) -> bool:
        """As a handler of Ctrl-C does while a fork waits for a busy ledger."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.rests = True
        return True

    def after_fork_in_parent(self) -> None:
        """Goes on."""
        self.rests = False

    def after_fork_in_child(self, *, rested: bool) -> None:
        """Goes on, too."""
        self.rests = self.rests and not rested


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_came_to_rest_goes_on_after_a_fork_that_was_interrupted(monkeypatch: Any) -> None:
    first, second = Resting(), Resting()
    second.interrupted = True
    monkeypatch.setattr(fork, "_living", lambda: [first, second])
    if (child := os.fork()) == 0:
        os._exit(first.rests)
    assert os.waitpid(child, 0)[1] == 0
    assert not first.rests
