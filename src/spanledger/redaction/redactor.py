"""Replaces private values by labels, in texts and in whatever holds texts. Never raises, never tells what it found."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.redaction import detectors, keys
from spanledger.redaction.engine import best
from spanledger.redaction.named import MASK
from spanledger.redaction.text import Budget, Exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.redaction.engine import Engine
    from spanledger.redaction.text import Span

MODES = ("mask", "hash", "drop", "off")
DROPPED, FAILED, TOO_MUCH = "[REDACTED]", "[REDACTED:error]", "[REDACTED:budget]"

_SHORTEST = 6
"""No detector finds anything in a shorter text."""
_LONGEST = 4_000_000
"""Characters of one text; a longer one is dropped."""
_WORK = 50_000
"""Places looked at, keys and items walked for one value: about a quarter of a second at worst."""
_DEEPEST = 32
_JSON_DEPTH = 4
"""JSON in strings in JSON ..., each level of which is parsed."""
_REMEMBERED = 4096
_SHORT = 64
"""Keys and clean texts up to this length are remembered, as many as ``_REMEMBERED`` of each."""


class _Key(NamedTuple):
    """What is known about one key: how it may be shown, and what it says about its value."""

    shown: str
    label: str | None
    maybe: str | None
    identifier: bool


_NO_KEY = _Key("", None, None, identifier=False)


class _Job:
    """Budget and findings of one public call; allocated once per call, because several threads redact at the same time."""

    __slots__ = ("budget", "found")

    def __init__(self) -> None:
        self.budget = Budget(_WORK)
        self.found: dict[str, int] = {}


class Redactor:
    """Redacts texts, values and attributes; safe to use from several threads.

    Args:
        mode: ``mask`` writes ``[EMAIL]``; ``hash`` writes ``[EMAIL:ab12cd34ef]``, the same for the same value under the same key, so that
            values can be told apart and joined; ``drop`` replaces a text in which anything was found by ``[REDACTED]``; ``off`` changes nothing.
        key: key of the hashes. Without one a random key is made, and hashes are comparable within this process only. An unkeyed hash
            would be no protection: all phone numbers can be tried in seconds.
        on_redact: called with a label and how often it was found, after each value in which anything was; also with ``error`` (a value
            was dropped because redacting it failed) and ``budget`` (it was too large or too nested). Its exceptions are ignored.
        engine: which engine finds the places; google-re2 where installed.

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
        if mode not in MODES:
            message = f"redaction mode {mode!r} is unknown; expected one of {', '.join(MODES)}"
            raise ValueError(message)
        self.mode = mode
        self.off = mode == "off"
        self._secret = hashlib.blake2b(key.encode("utf-8", "surrogatepass")).digest() if key else os.urandom(32)
        self._on_redact = on_redact
        self._engine = engine or best()
        self._keys: dict[str, _Key] = {}
        self._clean: tuple[set[str], set[str]] = (set(), set())
        """Short texts without anything private, such as names of models and hosts, which every span repeats; the second set: identifiers."""

    def text(self, text: str) -> str:
        """The text with private values replaced; the same object if there are none."""
        return text if self.off else self._guarded(lambda job: self._text(text, _NO_KEY, job, 0), FAILED, TOO_MUCH)

    def value(self, key: str | None, value: Any) -> Any:
        """The value with private parts replaced; the same object if there are none.

        Walks mappings, sequences, sets, bytes and JSON inside strings. Objects of other types are replaced by ``[REDACTED:type]``: what their
        text would be is not known. ``key`` is the name the value is known by, if any.
        """
        if self.off or value is None or isinstance(value, bool):
            return value
        return self._guarded(lambda job: self._value(self._key(key, job) if key else _NO_KEY, value, job, 0), FAILED, TOO_MUCH)

    def attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A redacted copy of ``attributes``, or ``None`` if there is nothing to redact. Each value fails for itself."""
        if self.off or not attributes:
            return None
        changed: dict[str, Any] | None = None
        for key, value in attributes.items():
            shown, safe = self._attribute(key, value)
            if safe is value and shown is key:
                continue
            if changed is None:
                changed = dict(attributes)
            if shown is not key:
                del changed[key]
            changed[shown] = safe
        return changed

    def _attribute(self, key: str, value: Any) -> tuple[str, Any]:
        known = self._keys.get(key)
        if known is not None and known.label is None and type(value) in _NUMBERS:
            return known.shown, value
        return self._guarded(lambda job: self._pair(key, value, job), (FAILED, FAILED), (TOO_MUCH, TOO_MUCH))

    def _pair(self, key: str, value: Any, job: _Job) -> tuple[str, Any]:
        known = self._key(key, job)
        return known.shown, self._value(known, value, job, 0)

    def _guarded(self, work: Callable[[_Job], Any], failed: Any, too_much: Any) -> Any:
        """Fails closed: an exception costs the value, not the application and not the privacy."""
        job = _Job()
        try:
            result = work(job)
        except Exhausted:
            self._report("budget", 1)
            return too_much
        except Exception:  # noqa: BLE001  # whatever goes wrong, the value must not leave, nor an exception that quotes it
            self._report("error", 1)
            return failed
        for label, count in job.found.items():
            self._report(label, count)
        return result

    def _report(self, label: str, count: int) -> None:
        if self._on_redact is not None:
            try:
                self._on_redact(label, count)
            except Exception:  # noqa: BLE001, S110  # a counter that fails must not undo the redaction
                pass

    def _key(self, name: str, job: _Job) -> _Key:
        known = self._keys.get(name)
        if known is None:
            shown = self._scan(name, job, identifier=True)
            known = _Key(shown, keys.label(name), keys.maybe(name), keys.is_identifier(name))
            if shown is name and len(name) <= _SHORT:
                if len(self._keys) >= _REMEMBERED:
                    self._keys.clear()
                self._keys[name] = known
        return known

    def _value(self, key: _Key, value: Any, job: _Job, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if key.label is not None and not _is_schema(value):
            return self._whole(key.label, value, job)
        if isinstance(value, str):
            if key.maybe is not None and len(value) >= _SHORTEST and not value.isalpha():
                return self._whole(key.maybe, value, job)
            return self._text(value, key, job, depth)
        if isinstance(value, (int, float)):
            return value
        return self._container(key, value, job, depth)

    def _container(self, key: _Key, value: Any, job: _Job, depth: int) -> Any:
        job.budget.spend()
        if depth >= _DEEPEST:
            raise Exhausted
        if isinstance(value, Mapping):
            return self._mapping(value, job, depth + 1)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value), key, job, depth)
        if isinstance(value, (Sequence, Set)):
            safe = [self._value(key, item, job, depth + 1) for item in value]
            job.budget.spend(len(safe))
            if all(new is old for new, old in zip(safe, value, strict=True)):
                return value
            return tuple(safe) if isinstance(value, tuple) else safe
        job.found["type"] = job.found.get("type", 0) + 1
        return "[REDACTED:type]"

    def _mapping(self, mapping: Mapping[Any, Any], job: _Job, depth: int) -> Mapping[Any, Any]:
        job.budget.spend(len(mapping))
        safe: dict[Any, Any] = {}
        same = True
        for name, value in mapping.items():
            key = self._key(name, job) if isinstance(name, str) else _NO_KEY
            shown = key.shown if key is not _NO_KEY else name
            safe[shown] = self._value(key, value, job, depth)
            same = same and shown is name and safe[shown] is value
        return mapping if same else safe

    def _bytes(self, data: bytes, key: _Key, job: _Job, depth: int) -> bytes:
        """Text in any encoding that keeps ASCII; in others (UTF-16) private values are as far apart as in any binary data."""
        text = data.decode("latin-1")
        safe = self._text(text, key, job, depth)
        return data if safe is text else safe.encode("latin-1", "replace")

    def _text(self, text: str, key: _Key, job: _Job, depth: int) -> str:
        if len(text) < _SHORTEST:
            return text
        if len(text) > _LONGEST:
            raise Exhausted
        if depth < _JSON_DEPTH and _looks_like_json(text):
            parsed = _parse(text)
            if parsed is not None:
                safe = self._value(_Key("", None, None, identifier=key.identifier), parsed, job, depth + 1)
                return text if safe is parsed else self._dump(safe, text)
        return self._scan(text, job, identifier=key.identifier)

    def _dump(self, value: Any, before: str) -> str:
        spaced = '": ' in before or ", " in before
        return json.dumps(value, ensure_ascii=before.isascii(), separators=(", ", ": ") if spaced else (",", ":"))

    def _scan(self, text: str, job: _Job, *, identifier: bool) -> str:
        if len(text) < _SHORTEST:
            return text
        clean = self._clean[identifier]
        if text in clean:
            return text
        spans = detectors.find(self._engine, text, job.budget, identifier=identifier)
        if not spans:
            if len(text) <= _SHORT:
                if len(clean) >= _REMEMBERED:
                    clean.clear()
                clean.add(text)
            return text
        if self.mode == "drop":
            for span in spans:
                job.found[span.label] = job.found.get(span.label, 0) + 1
            return DROPPED
        return self._replace(text, spans, job)

    def _replace(self, text: str, spans: list[Span], job: _Job) -> str:
        pieces: list[str] = []
        done = 0
        for span in spans:
            pieces += (text[done : span.start], self._instead(span.label, text[span.start : span.end], job))
            done = span.end
        pieces.append(text[done:])
        return "".join(pieces)

    def _whole(self, label: str, value: Any, job: _Job) -> str:
        text = value if isinstance(value, str) else repr(value) if self.mode == "hash" else ""
        if isinstance(value, str) and (not value or value == DROPPED or MASK.fullmatch(value)):
            return value
        return self._instead(label, text, job)

    def _instead(self, label: str, value: str, job: _Job) -> str:
        job.found[label] = job.found.get(label, 0) + 1
        if self.mode == "drop":
            return DROPPED
        return f"[{label}:{self._hash(label, value)}]" if self.mode == "hash" else f"[{label}]"

    def _hash(self, label: str, value: str) -> str:
        """Ten signs, the first of them a letter, so that what follows is never taken for a number."""
        digest = hashlib.blake2b(_normal(label, value).encode("utf-8", "surrogatepass"), key=self._secret, digest_size=6).digest()
        return "abcdef"[digest[5] % 6] + digest.hex()[:9]


_NUMBERS = frozenset({int, float, bool, type(None)})
_DIGITS_ONLY = frozenset({"PHONE", "CREDIT_CARD", "US_SSN"})


def _normal(label: str, value: str) -> str:
    """One form of what can be written in several, so that it has one hash."""
    if label in _DIGITS_ONLY:
        return "".join(sign for sign in value if sign.isdigit())
    if label in {"EMAIL", "IP", "MAC"}:
        return value.strip().lower()
    return "".join(value.split()).upper() if label == "IBAN" else value


def _looks_like_json(text: str) -> bool:
    first, last = text[0], text[-1]
    if first.isspace() or last.isspace():
        stripped = text.strip()
        first, last = (stripped[0], stripped[-1]) if stripped else (" ", " ")
    return (first == "{" and last == "}") or (first == "[" and last == "]") or (first == '"' and last == '"')


def _parse(text: str) -> Any:
    """``None`` for what is no JSON, and for objects with a key twice: a parser would hide the first of them from us."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


_SCHEMA_WORDS = frozenset(
    {
        "type", "description", "title", "format", "minLength", "maxLength", "pattern", "nullable", "items", "properties", "required", "anyOf",
        "additionalProperties", "readOnly", "writeOnly", "deprecated",
    }
)  # fmt: skip


def _is_schema(value: Any) -> bool:
    """A JSON schema of a parameter called ``password`` holds no password (https://json-schema.org/understanding-json-schema/reference)."""
    return isinstance(value, dict) and "type" in value and _SCHEMA_WORDS.issuperset(value)
