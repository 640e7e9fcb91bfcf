"""Tokens before they are known: of a request that is about to be sent, and of an answer that was cut short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from contextlib import suppress
from dataclasses import replace
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from spanledger.model import Called, State, Usage
from spanledger.pricing import media, tokens
from spanledger.pricing.extras import MARK, add_searches, after_last_mark, lifetime
from spanledger.pricing.habits import Habits, family_of, habits_of
from spanledger.pricing.names import FAMILY_CLAUDE, FAMILY_CLAUDE_NEW, FAMILY_DEFAULT, FAMILY_GEMINI, FAMILY_OPENAI

if TYPE_CHECKING:
    from collections.abc import Sequence

_MILLI = 1000
_MOST_VALUES, _MOST_CHARACTERS = 10_000, 1_000_000
_LONG = 64 * 1024
_MAYBE_FILE = 48  # shorter strings are no files; nor are those with a space this early
_START = slice(_MAYBE_FILE)
_SMALL = 16  # a mapping with more members is read one by one, within the bounds

_MOST_TIMES = 1_000.0  # what was seen of an argument is taken for at least a thousandth of it

_FEW, _MOST_ITEMS = 8, 1_000
"""Arguments of a request, and items of one, that may be taken at once; more are walked through, within the bounds."""

_UNREADABLE = 1_000
"""Tokens of what cannot be looked at without using it up (an iterator, an open file), and of what fails when looked at."""

_ANSWER = {FAMILY_OPENAI: 1_500, FAMILY_CLAUDE: 2_500, FAMILY_CLAUDE_NEW: 3_000, FAMILY_GEMINI: 0, FAMILY_DEFAULT: 1_000}
_FIRST_CALL = {FAMILY_OPENAI: 5_500, FAMILY_CLAUDE: 32_000, FAMILY_CLAUDE_NEW: 32_000, FAMILY_GEMINI: 4_000, FAMILY_DEFAULT: 12_000}
_NEXT_CALL = {FAMILY_OPENAI: 25_000, FAMILY_CLAUDE: 19_000, FAMILY_CLAUDE_NEW: 19_000, FAMILY_GEMINI: 4_000, FAMILY_DEFAULT: 17_000}
_ARGUMENT = {FAMILY_CLAUDE: 10_000, FAMILY_CLAUDE_NEW: 10_000}
"""Thousandths of tokens around an answer, around the first and every further tool call, and around each argument of one."""

_ESTIMATED = State.ESTIMATED  # see docs/decisions/0010-straight-lines-on-the-hot-path.md
_FORMATS = frozenset(("output_format", "output_config", "outputConfig"))
_NOT_TEXT = frozenset((
    "role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "status", "media_type", "mime_type", "mimeType", "detail", "model",
    "object", "signature",
))  # fmt: skip
"""Keys of messages whose values are not part of the prompt."""

_JSON = frozenset((
    "tools", "functions", "function", "parameters", "input_schema", "json_schema", "schema", "response_format", "text_format",
    "output_format", "output_config", "outputConfig", "toolConfig", "tool_config", "toolSpec", "toolUse", "function_declarations",
    "functionDeclarations", "functionCall", "function_call", "functionResponse", "function_response", "args", "response", "json",
))  # fmt: skip
"""Keys below which the prompt has JSON or its like: names and numbers count, too."""

_SEALED = frozenset(("encrypted_content", "thought_signature", "thoughtSignature"))
_SEALED_CHARACTERS = 5
"""Reasoning that providers hand out encrypted, to be sent back; it is billed by the tokens inside, some 5 to 8 characters each."""

_SCHEMAS = frozenset(("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema"))
_LINKS = frozenset(("image_url", "file_id", "file_uri", "fileUri", "file_url", "fileId", "video_url"))
_TELLING = _NOT_TEXT | _JSON | _SEALED | _FORMATS | _LINKS | {"url", "input", MARK}
"""Keys that say something about their values; one look-up for the many others."""


def estimate_input(content: Any, provider: str, model: str | None) -> int:
    """Input tokens of a request, rather too many than too few: the estimate is at least the truth in about 95 of 100 requests.

    Pictures, recordings and documents count by their providers' rules. Work is bounded: after 10,000 values or a million characters
    of an argument its rest is extrapolated, long texts are sampled. Never raises, never consumes an iterator (it counts as 1,000 tokens).

    Args:
        content: messages, tools and system prompt as given to an SDK: any nesting of strings, containers and SDK objects.
        provider: a ``gen_ai.provider.name``.
        model: the model's name.
    """
    return estimate_usage(content, provider, model).input or 0


def estimate_usage(content: Any, provider: str, model: str | None, output: int | None = None, kept: int = 0) -> Usage:
    """What a request is to be charged for until its usage is known: as ``estimate_input``, and with what makes its tokens dearer.

    What is to be written to a cache is taken as written, for as long as any mark asks for, and searches of the web as made.

    Args:
        content, provider, model: see ``estimate_input``.
        output: the most tokens of an answer.
        kept: tokens of the conversation until now, which the provider keeps and puts before the content.
    """
    try:
        habits = habits_of(provider, model)
        plain = _plain_texts(content)
    except Exception:  # noqa: BLE001  # names that are no strings cannot be looked up, foreign objects may raise anything
        habits, plain = habits_of.__wrapped__(provider, model), None
    if plain is not None:
        texts, messages = plain
        usage = Usage(habits.total(tokens.count("\n".join(texts), habits.viewer.family), messages), output, state=_ESTIMATED)
    else:
        usage = _walked(content, habits, output)
    if kept:
        usage.input = (usage.input or 0) + kept
    if habits.special:
        habits.add_unasked(usage)
    return usage


def _walked(content: Any, habits: Habits, output: int | None) -> Usage:
    walk = _Walk(habits)
    walk.through(content)
    usage = Usage(walk.total(), output, state=_ESTIMATED)
    with suppress(Exception):  # foreign objects may raise anything
        add_searches(usage, content)
    if walk.lifetimes and habits.viewer.family != FAMILY_GEMINI:  # for Gemini, writing costs less than reading anew
        _add_cache(usage, content, walk)
    return usage


def _add_cache(usage: Usage, content: Any, walk: _Walk) -> None:
    """Takes all input up to the last mark as written to the cache; of several lifetimes, the dearest holds."""
    rest = 0
    with suppress(Exception):
        after = _Walk(walk.habits)
        after.through(after_last_mark(content))
        rest = after.own()
    written = max(0, (usage.input or 0) - rest)
    if "1h" in walk.lifetimes:
        usage.cache_write_1h = written
    else:
        usage.cache_write = written


def _plain_texts(arguments: Any) -> tuple[list[str], int] | None:
    """The texts and the number of messages, if there are only texts and messages of a role and a text; else None.

    Most requests are such, and this takes a third of the steps of a walk, which would find the same texts: none of these is maybe a file
    or so long that it is sampled, so that their order does not matter.
    """
    if type(arguments) is not tuple or len(arguments) > _FEW:
        return None
    texts: list[str] = []
    loose = size = 0  # texts that are no messages, and characters of all
    for argument in arguments:
        items = [argument] if type(argument) is str else argument
        if type(items) is not list or len(items) > _MOST_ITEMS:
            return None
        loose -= items is not argument  # a text by itself is a message
        for item in items:
            if type(item) is dict and len(item) == 2 and "role" in item:
                text = item.get("content")
            else:
                text = item
                loose += 1
            if type(text) is not str or (len(text) > _MAYBE_FILE and " " not in text[_START]):
                return None
            size += len(text)
            texts.append(text)
    return (texts, len(texts) - loose) if size + len(texts) <= _LONG else None


def estimate_text(pieces: Sequence[str], provider: str, model: str | None) -> int:
    """Output tokens of an answer, from the pieces of it that were received: neither high nor low on average.

    Around each ``Called``, and what it is called with, the usual frame is added.
    """
    family = family_of(provider, model)
    received = [piece for piece in pieces if isinstance(piece, str) and piece]
    if not received:
        return 0
    text = "".join(received)
    milli = tokens.count(text, family) + _ANSWER[family]
    calls = sum(type(piece) is Called for piece in received)
    if calls:
        milli += _FIRST_CALL[family] + (calls - 1) * _NEXT_CALL[family] + text.count('":') * _ARGUMENT.get(family, 0)
    return max(1, (milli + _MILLI // 2) // _MILLI)


class _Walk:
    """One look at a request. Collects texts, to be counted together, and tokens of all else."""

    __slots__ = (
        "characters", "extra", "habits", "lifetimes", "messages", "milli", "opened", "pieces", "stack", "tools", "values", "viewer",
    )  # fmt: skip

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.viewer = habits.viewer
        self.pieces: list[str] = []
        self.stack: list[tuple[Any, bool]] = []
        self.opened: list[tuple[int, int, int]] = []
        """Containers whose members are on the stack: its height below them, how many were put there, and how many there are."""
        self.lifetimes: set[str] = set()
        self.extra = self.milli = self.messages = self.tools = self.characters = self.values = 0

    def own(self) -> int:
        """The estimate without what any request has, and any with tools."""
        return self.total() - self.habits.request - (self.habits.tools if self.tools else 0)

    def total(self) -> int:
        """The estimate."""
        milli = self.milli + tokens.count("\n".join(self.pieces), self.viewer.family)
        tools = self.tools * self.habits.tool + self.habits.tools if self.tools else 0
        return self.habits.total(milli, self.messages) + self.extra + tools

    def _whole(self) -> float:
        """The whole divided by the part that was visited, assuming that the members of each container are alike.

        Containers lie within each other, so the share that was visited of one is that of the member being visited in the next outer one.
        """
        seen, top = 1.0, len(self.stack)
        for base, put, count in reversed(self.opened):
            left = max(0, top - base)
            if left or count > put:
                seen = max(0.0, put - left - 1 + seen) / count
            top = min(top, base)
        return min(_MOST_TIMES, 1 / max(seen, 1 / _MOST_TIMES))

    def through(self, content: Any) -> None:
        """Visits everything in ``content``, within bounds; the arguments of a request each within their own."""
        arguments = content if type(content) is tuple and len(content) <= _FEW else (content,)
        for argument in reversed(arguments):
            before = (self.milli, len(self.pieces), self.messages, self.extra, self.tools)
            self.values = self.characters = 0
            self.opened.clear()
            self.messages += type(argument) is str  # a text by itself is a message
            self.stack.append((argument, False))
            self._visit()
            if self.stack:
                self._add_unseen(*before)

    def _add_unseen(self, milli: int, pieces: int, messages: int, extra: int, tools: int) -> None:
        """Adds for the rest of an argument what was found in it, beyond what was there before, as often as the rest is larger."""
        times = self._whole() - 1
        found = self.milli - milli + tokens.count("\n".join(self.pieces[pieces:]), self.viewer.family)
        self.milli += int(found * times)
        self.messages += int((self.messages - messages) * times)
        self.extra += int((self.extra - extra) * times)
        self.tools += int((self.tools - tools) * times)
        self.stack.clear()

    def _visit(self) -> None:
        while self.stack and self.values < _MOST_VALUES and self.characters < _MOST_CHARACTERS:
            try:
                self._visit_plain()
            except Exception:  # noqa: BLE001  # foreign objects may raise anything
                self.extra += _UNREADABLE

    def _visit_plain(self) -> None:
        stack = self.stack
        while stack and self.values < _MOST_VALUES and self.characters < _MOST_CHARACTERS:
            value, json = stack.pop()
            self.values += 1
            kind = type(value)
            if kind is str:
                self._text(value)
            elif kind is dict:
                self._mapping(value, json)
            elif kind is list or kind is tuple:
                if json or not self._at_once(value):
                    self._sequence(value, json)
            elif value is not None:
                self._other(value, json)

    def _text(self, text: str, detail: str | None = None) -> None:
        size = len(text)
        if size > _MAYBE_FILE and " " not in text[_START]:
            file = media.from_base64(text, replace(self.viewer, detail=detail))
            if file is not None:
                self.extra += file
                return
        if size > _LONG:
            self.milli += tokens.count(text, self.viewer.family)
            self.characters += _LONG
        else:
            self.pieces.append(text)
            self.characters += size

    def _mapping(self, value: Mapping[Any, Any], json: bool) -> None:
        if "role" in value:
            self.messages += 1
        if not _SCHEMAS.isdisjoint(value):
            self.tools += 1
            json = True
            if MARK in value and value[MARK] is not None:
                self.lifetimes.add(lifetime(value[MARK]))
        small = len(value) <= _SMALL
        if not small and self._large(value, json):
            return
        if json:
            for key, item in value.items():
                if item is not None:
                    self.pieces.append(f'"{key}":')
                    self.stack.append((item, True))
            return
        for key, item in value.items():
            if key in _TELLING:
                if item is not None and key not in _NOT_TEXT:
                    self._told(key, item, value)
            elif small and type(item) is str:  # a message's content, without a turn on the stack
                self.values += 1
                self._text(item)
            elif item is not None:
                self.stack.append((item, False))

    def _large(self, value: Mapping[Any, Any], json: bool) -> bool:
        """Whether a mapping is so large that it was taken as a sequence; others are only noted."""
        size = len(value)
        if size <= _MOST_ITEMS:
            self._open(size, size)
            return False
        self._sequence([(f'"{key}":', item) for key, item in islice(value.items(), _MOST_VALUES)], json, size)
        return True

    def _told(self, key: str, item: Any, value: Mapping[Any, Any]) -> None:
        """A member of a mapping that its key says something about."""
        if key in _FORMATS:
            self.extra += self.habits.format
        if key in _LINKS or (key == "url" and ("detail" in value or value.get("type") == "url")):
            self._link(item, value, image=key == "image_url" or "image" in str(value.get("type")))
        elif key == MARK:
            self.lifetimes.add(lifetime(item))
        elif key in _SEALED and isinstance(item, str | bytes):
            self.extra += len(item) // _SEALED_CHARACTERS
        else:
            self.stack.append((item, key in _JSON or (key == "input" and type(item) is dict)))

    def _link(self, link: Any, part: Mapping[Any, Any], *, image: bool) -> None:
        """A picture or file given by address, by id, or as ``data:`` URL; ``part`` has or is the mapping with its ``detail``."""
        if isinstance(link, Mapping):
            part, link = link, link.get("url")
        if isinstance(link, str) and link.startswith("data:"):
            self._text(link, part.get("detail"))
        else:
            viewer = replace(self.viewer, detail=part.get("detail"))
            self.extra += media.image(None, viewer) if image else media.UNKNOWN_FILE

    def _at_once(self, value: Sequence[Any]) -> bool:
        """Takes a list of plain messages or texts as a whole, if it is one and surely stays within the bounds."""
        if self.values > _MOST_VALUES - 2 * _MOST_ITEMS or self.characters > _MOST_CHARACTERS - _LONG:
            return False
        plain = _plain_texts((value,))
        if plain is None:
            return False
        texts, messages = plain
        self.pieces += texts
        self.messages += messages
        self.values += len(texts) + messages
        self.characters += sum(map(len, texts))
        return True

    def _sequence(self, value: Sequence[Any], json: bool, count: int = 0) -> None:
        if value and type(value[0]) is int and not json:  # a prompt of token ids
            self.extra += count or len(value)
            return
        count = count or len(value)
        if count > _MOST_VALUES:
            value = value[:_MOST_VALUES]
        if count > 1:
            self._open(len(value), count)
        self.stack.extend(zip(value, repeat(json)))

    def _open(self, put: int, count: int) -> None:
        base, opened = len(self.stack), self.opened
        while opened and opened[-1][0] >= base:
            opened.pop()
        opened.append((base, put, count))

    def _other(self, value: Any, json: bool) -> None:
        if isinstance(value, str):
            self._text(str.__str__(value))
        elif isinstance(value, int | float):
            if json:
                self.pieces.append(str(value))
        elif isinstance(value, bytes | bytearray | memoryview):
            self.extra += media.from_bytes(bytes(value[: media.ENOUGH]), len(value), self.viewer)
        elif isinstance(value, Mapping):
            self._mapping(dict(islice(value.items(), _MOST_VALUES)), json)
        elif isinstance(value, Iterable) and isinstance(value, Sized):
            self._sequence(list(islice(value, _MOST_VALUES)), json, len(value))
        elif hasattr(value, "__next__"):
            self.extra += _UNREADABLE
        elif isinstance(value, type) or callable(value):
            self._definition(value)
        else:
            self._object(value, json)

    def _definition(self, value: Any) -> None:
        """A class or function given for its schema: a response format, or a tool."""
        self.tools += 1
        self.pieces.append(f"{getattr(value, '__name__', '')} {getattr(value, '__doc__', None) or ''}")
        for name in getattr(value, "__annotations__", ()):
            self.pieces.append(f'"{name}": {{"title": "{name}", "type": "string"}},')

    def _object(self, value: Any, json: bool) -> None:
        if type(value).__module__.partition(".")[0] == "PIL":
            self.extra += media.image(value.size, self.viewer)
            return
        fields = getattr(value, "__dict__", None) or {
            name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ()) if isinstance(name, str)
        }
        self._mapping({**fields, **(getattr(value, "__pydantic_extra__", None) or {})}, json)
