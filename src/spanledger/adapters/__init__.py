"""Client libraries: one file each, as a value. Adding one is described in docs/adding-an-adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanledger.adapters.anthropic import ADAPTER as _ANTHROPIC
from spanledger.adapters.openai import ADAPTER as _OPENAI

if TYPE_CHECKING:
    from spanledger.engine.adapter import Adapter

ADAPTERS: tuple[Adapter, ...] = (_OPENAI, _ANTHROPIC)
