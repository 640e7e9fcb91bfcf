"""What a request asks for that is billed beyond plain tokens: that its prompt be cached, and that the provider search the web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spanledger.pricing import names

if TYPE_CHECKING:
    from spanledger.model import Usage

MARK = "cache_control"
"""Asks for a cache up to the block that has it; gateways pass it on: https://platform.claude.com/docs/en/build-with-claude/prompt-caching."""

_DEEPEST = 8
_MOST_TOOLS = 1_000
_SEARCH = re.compile(r"web_search(_preview)?(_20\d\d\w*)?")
_ASSUMED_SEARCHES = 3
"""Searches assumed of a tool without ``max_uses``, as seen in recorded calls."""
_MOST_SEARCHES = 1_000
_SEARCH_RESULTS, _SEARCHES_READ = 8_000, 3
"""Tokens that one search adds to the input, and how many searches of a call are assumed to do so at most, as seen in recorded calls."""

_WRITES_BILLED = (5, 6)


def lifetime(mark: Any) -> str:
    """How long a mark asks to keep what it marks: ``5m``, ``1h``, or another that a gateway may know."""
    told = _member(mark, "ttl")
    return told if isinstance(told, str) else "5m"


def cached_unasked(model: str) -> bool:
    """Whether prompts are cached without being marked, at a price: OpenAI's, from GPT-5.6 on.

    https://developers.openai.com/api/docs/guides/prompt-caching
    """
    return (names.gpt_version(model) or (0, 0)) >= _WRITES_BILLED


def after_last_mark(content: Any) -> list[Any]:
    """What of a request comes after the last block that is marked, and so is not written to a cache. Empty if that cannot be told.

    Arguments are in the opposite order of the prompt, which begins with the tools and ends with the messages.
    """
    after: list[Any] = []
    for argument in _items(content) or (content,):
        for item in reversed(_items(argument) or (argument,)):
            if _marked(item):
                return after + _blocks_after_mark(item)
            after.append(item)
    return []


def add_searches(usage: Usage, content: Any) -> None:
    """Takes the searches of the web that the tools of a request allow as made."""
    searches: dict[str, int] = {}
    for argument in _items(content):
        tools = _items(argument)
        if tools and _member(tools[0], "role") is None:
            for tool in tools[:_MOST_TOOLS]:
                kind = tool.get("type") if type(tool) is dict else _member(tool, "type")
                if kind is not None and kind != "function":  # nearly all are
                    name = "web_search_preview" if "preview" in str(kind) else "web_search"
                    searches[name] = searches.get(name, 0) + _uses(tool, kind)
    total = sum(searches.values())
    if total:
        usage.tools = {name: count for name, count in searches.items() if count}
        usage.input = (usage.input or 0) + min(total, _SEARCHES_READ) * _SEARCH_RESULTS


def _uses(tool: Any, kind: Any) -> int:
    if not (isinstance(kind, str) and kind.startswith("web_search") and _SEARCH.fullmatch(kind)):
        return 0
    most = _member(tool, "max_uses")
    return min(most, _MOST_SEARCHES) if type(most) is int and most >= 0 else _ASSUMED_SEARCHES


def _blocks_after_mark(item: Any) -> list[Any]:
    """The blocks of a marked message that come after its last mark; nothing if the item as a whole is marked."""
    after: list[Any] = []
    blocks = _items(_member(item, "content")) if _member(item, MARK) is None else ()
    for block in reversed(blocks):
        if _marked(block):
            return after
        after.append(block)
    return []


def _marked(item: Any, depth: int = 0) -> bool:
    if type(item) is str or depth > _DEEPEST:
        return False
    if _member(item, MARK) is not None or _member(_member(item, "function"), MARK) is not None:
        return True
    return any(_marked(block, depth + 1) for block in _items(_member(item, "content")))


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, list | tuple) else ()


def _member(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, "__dict__", {}).get(name)
