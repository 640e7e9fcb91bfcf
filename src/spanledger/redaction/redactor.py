"""Replaces private values by labels, in texts and in whatever holds texts. Never raises, never tells what it found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from spanledger.interrupts import raised_by_handler
from spanledger.redaction import checks, jsontext, keys, pairs
from spanledger.redaction.labels import DROPPED, FAILED, MASK, TOO_MUCH, UNKNOWN_TYPE, Labels, unlike
from spanledger.redaction.text import Budget, Digits, Exhausted

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from spanledger.redaction.engine import Engine
    from spanledger.redaction.keys import Key
    from spanledger.redaction.text import Span

_SHORTEST = 6
"""No detector finds anything in a shorter text."""
_LONGEST = 4_000_000
"""Characters of one text; a longer one is dropped."""
_WORK = 50_000
"""Places looked at, keys and items walked for one value: about a second at worst."""
_DEEPEST = 32
_JSON_DEPTH = 4
"""Levels at which strings are parsed as JSON."""
_LONGEST_SAID = 256
"""Characters of a text that is read again together with its name."""
_SHORT, _REMEMBERED = 64, 4096
"""Keys and clean texts up to this length are remembered, this many of each."""
_PLAIN_NAME = re.compile("[a-z_.]+")
"""Nothing private is made of these alone; almost all keys are."""


class _Job:
    """Budget and findings of one public call; one per call, because several threads redact at the same time."""

    __slots__ = ("budget", "found")

    def __init__(self) -> None:
        self.budget = Budget(_WORK)
        self.found: dict[str, int] = {}

    def count(self, label: str) -> None:
        self.found[label] = self.found.get(label, 0) + 1


class _Find(Protocol):
    """``detectors.find``."""

    def __call__(self, engine: Engine, source: str, budget: Budget, digits: Digits = Digits.ANY) -> list[Span]: ...


_ID = re.compile(r"[0-9a-f]{16,64}(?<![0-9]{16})|(?:chatcmpl|cmpl|resp|msg|call|toolu|req)[-_][0-9A-Za-z]{8,64}")
"""Ids as tracing and the providers make them. Each is new, so that remembering them does not help; under the name of an id they stay."""


def _are_clean(items: tuple[Any, ...], clean: set[str]) -> bool:
    """Whether a tuple holds nothing but clean texts. One that starts with a dash may be an option that names the next; see ``_items``."""
    for item in items:  # noqa: SIM110  # a generator costs more than these few turns
        if type(item) is not str or item not in clean or item.startswith("-"):
            return False
    return True


def _plain(value: Any) -> Any:
    """The value; of a subclass of ``str`` its characters, because it may say anything else of its length, hash and equality."""
    return str.__str__(value) if isinstance(value, str) and type(value) is not str else value


@cache
def _finder() -> _Find:
    from spanledger.redaction.detectors import find  # noqa: PLC0415  # compiling their patterns takes longer than the rest of our start

    return find


@cache
def _best_engine() -> Engine:
    from spanledger.redaction.engine import best  # noqa: PLC0415  # as above

    return best()


class Redactor:
    """Redacts texts, values and attributes; safe to use from several threads.

    Args:
        mode: ``mask`` writes ``[EMAIL]``; ``hash`` writes ``[EMAIL:ab12cd34ef]``, the same for the same value under the same key, so that
            values can be told apart and joined; ``drop`` replaces a whole text in which anything was found by ``[REDACTED]``; ``off``
            changes nothing.
        key: key of the hashes. Without one a random key is made, and hashes are comparable within this process only. An unkeyed hash
            would be no protection: all phone numbers can be tried in seconds.
        on_redact: called with a label and how often it was found, after each value in which anything was; also with ``error`` (a value
            was dropped because redacting it failed), ``budget`` (it was too large or too nested) and ``type`` (not a type of telemetry).
            Its exceptions are ignored.
        engine: what finds the places; google-re2 where installed.

    Raises:
        ValueError: ``mode`` is none of the four.
    """

    def __init__(
        self,
        mode: str = "mask",
        key: str | None = None,
        on_redact: Callable[[str, int], None] | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        self._labels = Labels(mode, key)
        self.off = mode == "off"
        self._drop = mode == "drop"
        self._on_redact = on_redact
        self._engine = engine
        self._keys: dict[str, Key] = {}
        self._clean: tuple[set[str], ...] = tuple(set() for _ in Digits)
        """Short texts without anything private, such as names of models and hosts, which every span repeats; by ``Digits``."""
        self._clean_texts = self._clean[Digits.ANY]
        self._clean_under: dict[str, set[str]] = {}
        """The names of ``_keys`` under which numbers stay as they are, and texts if they are in this one of the sets."""

    def text(self, text: str) -> str:
        """The text with private values replaced; the same object if there are none."""
        if self.off or (type(text) is str and text in self._clean_texts):
            return text
        safe: str = self._guarded(lambda job: self._value(keys.NO_KEY, text, job, 0), FAILED, TOO_MUCH)
        return safe

    def value(self, key: str | None, value: Any) -> Any:
        """The value with private parts replaced; the same object if there are none.

        Walks mappings, sequences, sets, bytes and JSON inside strings. Objects of other types become ``[REDACTED:type]``: what an
        exporter would make of them is not known. ``key`` is the name the value is known by, if any.
        """
        if self.off or value is None or isinstance(value, bool):
            return value
        return self._guarded(lambda job: self._value(self._key(key, job) if key else keys.NO_KEY, value, job, 0), FAILED, TOO_MUCH)

    def attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A redacted copy of ``attributes``, or ``None`` if there is nothing to redact. Each value fails for itself."""
        if self.off or not attributes:
            return None
        changed: dict[str, Any] | None = None
        clashes, first_card = 0, keys.FIRST_CARD
        clean_under, clean_any = self._clean_under, self._clean_texts
        # Most attributes of a span have been seen before: a few lookups each and no calls. Iterators in C over the same take longer.
        for name, value in attributes.items():
            if name in clean_under:
                kind = type(value)
                if kind is str:
                    clean = clean_under[name]
                    if value in clean or (clean is not clean_any and _ID.fullmatch(value)):
                        continue
                elif kind is int:
                    if value < first_card:
                        continue
                elif kind is float or kind is bool or (kind is tuple and _are_clean(value, clean_under[name])):
                    continue
            shown, safe = self._attribute(name, value)
            same_name = shown == _plain(name)
            if safe is value and same_name:
                continue
            if changed is None:
                changed = dict(attributes)
            if not same_name:
                del changed[name]
                shown, clashes = unlike(changed, shown, clashes)
            changed[shown] = safe
        return changed

    def _attribute(self, key: str, value: Any) -> tuple[str, Any]:
        pair = self._guarded(lambda job: self._pair(key, value, job), FAILED, TOO_MUCH)
        if isinstance(pair, tuple):
            return pair
        known = self._keys.get(key)  # absent if it was the key that failed
        return known.shown if known else pair, pair

    def _pair(self, key: str, value: Any, job: _Job) -> tuple[str, Any]:
        known = self._key(key, job)
        return known.shown, self._value(known, value, job, 0)

    def _guarded(self, work: Callable[[_Job], Any], failed: Any, too_much: Any) -> Any:
        """Fails closed: an error costs the value, not the application and not the privacy."""
        job = _Job()
        try:
            result = work(job)
        except Exhausted:
            self._report("budget", 1)
            return too_much
        except Exception as error:  # the value must not leave, nor an exception that quotes it
            if raised_by_handler(error):
                raise
            self._report("error", 1)
            return failed
        for label, count in job.found.items():
            self._report(label, count)
        return result

    def _report(self, label: str, count: int) -> None:
        if self._on_redact is not None:
            try:
                self._on_redact(label, count)
            except Exception as error:  # a counter that fails must not undo the redaction
                if raised_by_handler(error):
                    raise

    def _key(self, name: str, job: _Job) -> Key:
        name = _plain(name)
        known = self._keys.get(name)
        if known is None:
            shown = name if _PLAIN_NAME.fullmatch(name) else self._scan(name, job, Digits.SURE)
            known = keys.known(MASK.sub("", name) if "[" in name else name, shown)  # a mask in a name says nothing of its value
            if shown is name and len(name) <= _SHORT:
                self._remember_key(name, known)
        return known

    def _remember_key(self, name: str, key: Key) -> None:
        if len(self._keys) >= _REMEMBERED:
            self._keys, self._clean_under = {}, {}  # not cleared: another thread may be reading them
        self._keys[name] = key
        if key.label is None and key.maybe is None and not key.spoken:
            self._clean_under[name] = self._clean[key.digits]

    def _value(self, key: Key, value: Any, job: _Job, depth: int) -> Any:
        if isinstance(value, str):
            plain = _plain(value)
            safe = self._named_text(key, plain, job, depth)
            return value if safe is plain else safe
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            label = keys.number_label(key, value)
            return self._whole(label, value, job) if label else value
        if key.label is not None and not jsontext.is_schema(value):
            return self._whole(key.label, value, job)
        return self._container(key, value, job, depth)

    def _named_text(self, key: Key, text: str, job: _Job, depth: int) -> str:
        if key.label is not None and not checks.is_reference(text):
            return self._whole(key.label, text, job)
        if key.maybe is not None and len(text) >= _SHORTEST and not text.isalpha() and not pairs.is_piece(key.shown, text):
            return self._whole(key.maybe, text, job)
        safe = self._text(text, key, job, depth)
        return self._said(key.spoken, text, job) if safe is text and key.spoken and _SHORTEST <= len(text) <= _LONGEST_SAID else safe

    def _said(self, lead: str, text: str, job: _Job) -> str:
        """``{"tel": "4155550132"}`` means what ``tel: 4155550132`` does."""
        said = lead + text
        spans = [span for span in self._spans(said, job, Digits.ANY) if span.start >= len(lead)]
        return self._replace(said, spans, job, len(lead)) if spans else text

    def _container(self, key: Key, value: Any, job: _Job, depth: int) -> Any:
        job.budget.spend()
        if depth >= _DEEPEST:
            raise Exhausted
        if isinstance(value, Mapping):
            return self._mapping(key, value, job, depth + 1)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value), key, job, depth)
        if isinstance(value, (Sequence, Set)):
            return self._items(key, value, job, depth + 1)
        job.count("type")
        return UNKNOWN_TYPE

    def _items(self, key: Key, items: Sequence[Any] | Set[Any], job: _Job, depth: int) -> Any:
        """Also arguments of a command, of which one (``--password``) says what the next is."""
        job.budget.spend(len(items))
        safe: list[Any] = []
        same = True
        flag = None
        for item in items:
            new = self._named_item(item, job, depth) if pairs.is_pair(item) else self._value(flag or key, item, job, depth)
            same = same and new is item
            safe.append(new)
            flag = self._option(_plain(item), job)
        if same:
            return items
        return tuple(safe) if isinstance(items, tuple) else safe

    def _option(self, item: Any, job: _Job) -> Key | None:
        option = pairs.option(item)
        if option is None:
            return None
        return keys.NO_KEY._replace(spoken=f" {option} ") if option in pairs.USER_OPTIONS else self._key(option, job)

    def _named_item(self, pair: Sequence[Any], job: _Job, depth: int) -> Sequence[Any]:
        """``("x-api-key", "...")`` among others, as headers are kept: what the first says about the second."""
        job.budget.spend(len(pair))
        name, value = pair
        shown, key = self._entry(name, job, depth)
        safe = self._value(key, value, job, depth)
        if shown == _plain(name) and safe is value:
            return pair
        return (shown, safe) if isinstance(pair, tuple) else [shown, safe]

    def _mapping(self, whose: Key, mapping: Mapping[Any, Any], job: _Job, depth: int) -> Mapping[Any, Any]:
        job.budget.spend(len(mapping))
        safe: dict[Any, Any] = {}
        same, clashes = True, 0
        told, about = self._told(whose, mapping, job)
        scored = pairs.is_scored(mapping)
        for name, value in mapping.items():
            shown, key = self._entry(name, job, depth)
            key = keys.NO_KEY if scored and key.maybe and not key.label else key
            new = self._value(told if told and name in about else key, value, job, depth)
            same = same and shown == _plain(name) and new is value
            shown, clashes = unlike(safe, shown, clashes)
            safe[shown] = new
        return mapping if same else safe

    def _entry(self, name: Any, job: _Job, depth: int) -> tuple[Any, Key]:
        """How the key of a mapping may be shown, and what it says."""
        if isinstance(name, str):
            key = self._key(name, job)
            return key.shown, key
        if name is None or isinstance(name, (int, float)):
            return self._value(keys.NO_KEY, name, job, depth), keys.NO_KEY
        said = name.decode("latin-1") if isinstance(name, bytes) else str(name)  # as exporters make a text of it
        key = self._key(said, job)
        shown = key.shown.encode("latin-1", "replace") if isinstance(name, bytes) else key.shown
        return name if key.shown == said else shown, key

    def _told(self, whose: Key, mapping: Mapping[Any, Any], job: _Job) -> tuple[Key | None, Container[Any]]:
        """What is said about which entries: ``{"name": "DB_PASSWORD", "value": "..."}``, and examples in a schema of something private."""
        if whose.label:
            return whose, jsontext.given(mapping)
        name = pairs.name_in(mapping)
        if name is None:
            return None, ()
        told = self._key(name, job)
        return (told if told.label or told.maybe or told.spoken else keys.NO_KEY._replace(counts=told.counts)), pairs.VALUES

    def _bytes(self, data: bytes, key: Key, job: _Job, depth: int) -> bytes:
        """Text in any encoding that keeps ASCII."""
        text = data.decode("latin-1")
        safe = self._text(text, key, job, depth)
        return data if safe is text else safe.encode("latin-1", "replace")

    def _text(self, text: str, key: Key, job: _Job, depth: int) -> str:
        if len(text) < _SHORTEST:
            self._remember(text, self._clean[key.digits])
            return text
        if key.digits and _ID.fullmatch(text):
            return text
        if len(text) > _LONGEST:
            raise Exhausted
        if depth < _JSON_DEPTH and jsontext.looks_like_json(text):
            parsed = jsontext.parse(text)
            if parsed is not None:
                safe = self._value(keys.NAMELESS[key.digits], parsed, job, depth + 1)
                return text if safe is parsed else jsontext.dump(safe, text)
        return self._scan(text, job, key.digits)

    def _scan(self, text: str, job: _Job, digits: Digits) -> str:
        clean = self._clean[digits]
        if len(text) < _SHORTEST:
            self._remember(text, clean)
            return text
        if text in clean:
            return text
        spans = self._spans(text, job, digits)
        if spans:
            return self._replace(text, spans, job)
        if not jsontext.looks_like_json(text):  # seen as a name or deep inside JSON it was not parsed, which elsewhere it will be
            self._remember(text, clean)
        return text

    def _spans(self, text: str, job: _Job, digits: Digits) -> list[Span]:
        return _finder()(self._engine or _best_engine(), text, job.budget, digits)

    @staticmethod
    def _remember(text: str, clean: set[str]) -> None:
        if len(text) <= _SHORT:
            if len(clean) >= _REMEMBERED:
                clean.clear()
            clean.add(text)

    def _replace(self, text: str, spans: list[Span], job: _Job, done: int = 0) -> str:
        pieces: list[str] = []
        for span in spans:
            job.count(span.label)
            pieces += (text[done : span.start], self._labels.instead(span.label, text[span.start : span.end]))
            done = span.end
        pieces.append(text[done:])
        return DROPPED if self._drop else "".join(pieces)

    def _whole(self, label: str, value: Any, job: _Job) -> str:
        if isinstance(value, str) and (not value or MASK.fullmatch(value)):
            return value
        job.count(label)
        return self._labels.instead(label, value if isinstance(value, str) else repr(value))
