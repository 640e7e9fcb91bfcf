"""Tokens before they are known: of a request that is about to be sent, and of an answer that was cut short."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.pricing import media, names, tokens
from spanledger.pricing.names import FAMILY_CLAUDE, FAMILY_CLAUDE_NEW, FAMILY_DEFAULT, FAMILY_GEMINI, FAMILY_OPENAI

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MILLI, _MICRO = 1000, 1_000_000
_MOST_VALUES = 20_000
_MOST_CHARACTERS = 1_000_000
_LONG = 64 * 1024
_MAYBE_FILE = 48  # shorter strings are no files; nor are those with a space this early
_START = slice(_MAYBE_FILE)
_SMALL = 16  # a mapping with more members is read one by one, within the bounds

_FEW, _MOST_ITEMS = 8, 1_000
"""Arguments of a request, and items of one, that may be taken at once; more are walked through, within the bounds."""

_UNREADABLE = 1_000
"""Tokens of what cannot be looked at without using it up (an iterator, an open file), and of what fails when looked at."""

_MARGIN = {FAMILY_OPENAI: 1250, FAMILY_CLAUDE: 1300, FAMILY_CLAUDE_NEW: 1300, FAMILY_GEMINI: 1300, FAMILY_DEFAULT: 1400}
"""Thousandths by which an input estimate leans upwards, so that about 95 of 100 are not below the truth."""

_MESSAGE = {FAMILY_OPENAI: 4, FAMILY_CLAUDE: 7, FAMILY_CLAUDE_NEW: 8, FAMILY_GEMINI: 4, FAMILY_DEFAULT: 8}
_REQUEST = {FAMILY_OPENAI: 6, FAMILY_CLAUDE: 30, FAMILY_CLAUDE_NEW: 40, FAMILY_GEMINI: 6, FAMILY_DEFAULT: 32}
_TOOL = {FAMILY_OPENAI: 12, FAMILY_CLAUDE: 20, FAMILY_CLAUDE_NEW: 30, FAMILY_GEMINI: 12, FAMILY_DEFAULT: 30}
_TOOLS = {FAMILY_OPENAI: 20, FAMILY_CLAUDE: 550, FAMILY_CLAUDE_NEW: 700, FAMILY_GEMINI: 40, FAMILY_DEFAULT: 100}
_FORMATS, _FORMAT = frozenset(("output_format", "output_config", "outputConfig")), {FAMILY_CLAUDE: 150, FAMILY_CLAUDE_NEW: 200}
"""Tokens around each message, the request, each tool, all tools, and an output format (Claude has hidden prompts for the last three)."""

_HIDDEN = (("grok", 200, 250), ("gpt-oss", 70, 150), ("deepseek", 80, 250), ("llama-4", 20, 650), ("nova", 40, 550))
"""Hidden prompts of other models, by a part of their name: tokens of any request, and of one with tools, as seen in recorded calls."""

_ANSWER = {FAMILY_OPENAI: 1_500, FAMILY_CLAUDE: 2_500, FAMILY_CLAUDE_NEW: 3_000, FAMILY_GEMINI: 0, FAMILY_DEFAULT: 1_000}
_FIRST_CALL = {FAMILY_OPENAI: 8_000, FAMILY_CLAUDE: 44_000, FAMILY_CLAUDE_NEW: 44_000, FAMILY_GEMINI: 8_000, FAMILY_DEFAULT: 15_000}
_NEXT_CALL = {FAMILY_OPENAI: 28_000, FAMILY_CLAUDE: 40_000, FAMILY_CLAUDE_NEW: 40_000, FAMILY_GEMINI: 8_000, FAMILY_DEFAULT: 20_000}
"""Thousandths of tokens around an answer, and for the unseen name and frame of the first and every further tool call."""

_NOT_TEXT = frozenset((
    "role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "status", "cache_control", "media_type", "mime_type", "mimeType",
    "detail", "model", "object", "signature",
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
_LINKS = frozenset(("image_url", "file_id", "file_uri", "fileUri", "file_url", "fileId"))
_TELLING = _NOT_TEXT | _JSON | _SEALED | _FORMATS | _LINKS | {"url", "input"}
"""Keys that say something about their values; one look-up for the many others."""


def estimate_input(content: Any, provider: str, model: str | None) -> int:
    """Input tokens of a request, rather too many than too few: the estimate is at least the truth in about 95 of 100 requests.

    Pictures, recordings and documents count by their providers' rules. Work is bounded: after 20,000 values or a million characters
    the rest is extrapolated, long texts are sampled. Never raises, never consumes an iterator (it counts as 1,000 tokens).

    Args:
        content: messages, tools and system prompt as given to an SDK: any nesting of strings, containers and SDK objects.
        provider: a ``gen_ai.provider.name``.
        model: the model's name.
    """
    try:
        habits = _habits(provider, model)
        plain = _plain_texts(content)
    except Exception:  # noqa: BLE001  # names that are no strings cannot be looked up, foreign objects may raise anything
        habits, plain = _habits.__wrapped__(provider, model), None
    if plain is not None:
        texts, messages = plain
        return habits.total(tokens.count("\n".join(texts), habits.viewer.family), messages)
    walk = _Walk(habits)
    try:
        walk.through(content)
    except Exception:  # noqa: BLE001  # foreign objects may raise anything
        walk.extra += _UNREADABLE
    return walk.total()


def _plain_texts(arguments: Any) -> tuple[list[str], int] | None:
    """The texts, last one first, and the number of messages, if there are only texts and messages of a role and a text; else None.

    Most requests are such, and this takes a third of the steps of a walk, which would find the same texts in the same order: none of
    these is maybe a file or so long that it is sampled.
    """
    if type(arguments) is not tuple or len(arguments) > _FEW:
        return None
    texts: list[str] = []
    loose = 0  # texts that are no messages
    for argument in reversed(arguments):
        items = [argument] if type(argument) is str else argument
        if type(items) is not list or len(items) > _MOST_ITEMS:
            return None
        for item in reversed(items):
            if type(item) is dict and len(item) == 2 and "role" in item:
                text = item.get("content")
            else:
                text = item
                loose += 1
            if type(text) is not str or (" " not in text[_START] and len(text) > _MAYBE_FILE):
                return None
            texts.append(text)
    return (texts, len(texts) - loose) if sum(map(len, texts)) <= _LONG else None


def estimate_text(pieces: Sequence[str], provider: str, model: str | None) -> int:
    """Output tokens of an answer, from the pieces of it that were received: neither high nor low on average.

    The names of called tools are not among the pieces; where a piece begins a JSON object, a call's usual overhead is added.
    """
    family = _family(provider, model)
    received = [piece for piece in pieces if isinstance(piece, str) and piece]
    if not received:
        return 0
    milli = tokens.count("".join(received), family) + _ANSWER[family]
    calls = _calls(received)
    if calls:
        milli += _FIRST_CALL[family] + (calls - 1) * _NEXT_CALL[family]
    return max(1, (milli + _MILLI // 2) // _MILLI)


def _calls(pieces: Iterable[str]) -> int:
    """How many pieces begin a JSON object where none can be under way: at the start, or after an object or a sentence."""
    calls, before = 0, "."
    for piece in pieces:
        if piece[0] == "{" and before in "}.!?:\n":
            calls += 1
        before = piece.rstrip(" ")[-1:] or before
    return calls


def _family(provider: str, model: str | None) -> str:
    try:
        return names.family(provider, model)
    except Exception:  # noqa: BLE001  # not even strings
        return FAMILY_DEFAULT


class _Habits(NamedTuple):
    """What a model adds to any request, in tokens, and how it sees files."""

    viewer: media.Viewer
    margin: int
    message: int
    request: int
    tool: int
    tools: int
    format: int

    def total(self, milli: int, messages: int) -> int:
        """The estimate for texts of so many thousandths of tokens in so many messages."""
        return -(-milli * self.margin // _MICRO) + messages * self.message + self.request


@lru_cache(maxsize=1024)
def _habits(provider: str, model: str | None) -> _Habits:
    family, name = _family(provider, model), str(model or "").lower().rpartition("/")[2].removeprefix("openai.")
    hidden, hidden_tools = next(((plain, tools) for part, plain, tools in _HIDDEN if part in name), (0, 0))
    return _Habits(
        media.Viewer(family, name), _MARGIN[family], _MESSAGE[family], _REQUEST[family] + hidden, _TOOL[family],
        _TOOLS[family] + hidden_tools, _FORMAT.get(family, 0),
    )  # fmt: skip


class _Walk:
    """One look at a request. Collects texts, to be counted together, and tokens of all else."""

    __slots__ = ("characters", "extra", "habits", "messages", "milli", "pieces", "stack", "tools", "unseen", "values", "viewer")

    def __init__(self, habits: _Habits) -> None:
        self.habits = habits
        self.viewer = habits.viewer
        self.pieces: list[str] = []
        self.stack: list[tuple[Any, bool]] = []
        self.extra = self.milli = self.messages = self.tools = self.characters = self.values = self.unseen = 0

    def total(self) -> int:
        """The estimate."""
        milli = self.milli + tokens.count("\n".join(self.pieces), self.viewer.family)
        if self.values and (self.stack or self.unseen):
            milli = milli * (self.values + len(self.stack) + self.unseen) // self.values
        tools = self.tools * self.habits.tool + self.habits.tools if self.tools else 0
        return self.habits.total(milli, self.messages) + self.extra + tools

    def through(self, content: Any) -> None:
        """Visits everything in ``content``, within bounds."""
        stack = self.stack
        stack.append((content, False))
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
            file = media.from_base64(text, self.viewer._replace(detail=detail))
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
        if json:
            for key, item in value.items():
                if item is not None:
                    self.pieces.append(f'"{key}":')
                    self.stack.append((item, True))
            return
        small = len(value) <= _SMALL
        for key, item in value.items():
            if key in _TELLING:
                if item is not None and key not in _NOT_TEXT:
                    self._told(key, item, value)
            elif small and type(item) is str:  # a message's content, without a turn on the stack
                self.values += 1
                self._text(item)
            elif item is not None:
                self.stack.append((item, False))

    def _told(self, key: str, item: Any, value: Mapping[Any, Any]) -> None:
        """A member of a mapping that its key says something about."""
        if key in _FORMATS:
            self.extra += self.habits.format
        if key in _LINKS or (key == "url" and ("detail" in value or value.get("type") == "url")):
            self._link(item, value, image=key == "image_url" or "image" in str(value.get("type")))
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
            viewer = self.viewer._replace(detail=part.get("detail"))
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

    def _sequence(self, value: Sequence[Any], json: bool) -> None:
        if value and type(value[0]) is int and not json:  # a prompt of token ids
            self.extra += len(value)
            return
        if len(value) > _MOST_VALUES:
            self.unseen += len(value) - _MOST_VALUES
            value = value[:_MOST_VALUES]
        self.stack.extend(zip(value, repeat(json)))

    def _other(self, value: Any, json: bool) -> None:
        if isinstance(value, str):
            self._text(str.__str__(value))
        elif isinstance(value, int | float):
            if json:
                self.pieces.append(str(value))
        elif isinstance(value, bytes | bytearray):
            self.extra += media.from_bytes(bytes(value[: media.ENOUGH]), len(value), self.viewer)
        elif isinstance(value, Mapping):
            self._mapping(dict(islice(value.items(), _MOST_VALUES)), json)
        elif isinstance(value, list | tuple | Set):
            self._sequence(list(islice(value, _MOST_VALUES)), json)
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
