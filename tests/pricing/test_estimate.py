from __future__ import annotations

import base64
import dataclasses
import enum
import struct
from collections import deque
from types import MappingProxyType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from spanledger.model import Called
from spanledger.pricing import tokens
from spanledger.pricing.estimate import estimate_input, estimate_text
from spanledger.pricing.names import FAMILY_OPENAI

GPT = ("openai", "gpt-4o")
PROSE = "The committee will meet again on Thursday to decide about the budget for the coming year. "


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0) + b"\0" * 100


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 100


def jpeg(width: int, height: int, exif: int = 20) -> bytes:
    application = b"\xff\xe1" + struct.pack(">H", exif + 2) + b"\0" * exif
    return b"\xff\xd8" + application + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + b"\0" * 100


def webp(width: int, height: int) -> bytes:
    return b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + b"\0" * 100


def webp_lossy(width: int, height: int) -> bytes:
    return b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 7 + b"\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 100


def webp_lossless(width: int, height: int) -> bytes:
    return b"RIFF\0\0\0\0WEBPVP8L" + b"\0" * 4 + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 100


def wav(seconds: int) -> bytes:
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + b"\0" * 16000 * seconds


def openai_image(data: bytes, kind: str = "png", **more):
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **more}}]}]


def cost_of(content, provider="openai", model="gpt-4o"):
    """Tokens beyond those of an empty message."""
    return estimate_input(content, provider, model) - estimate_input([{"role": "user", "content": ""}], provider, model)


@pytest.mark.parametrize("make", [png, gif, jpeg, webp, webp_lossy, webp_lossless])
@pytest.mark.parametrize(
    ("size", "model", "expected"),
    [
        ((640, 480), "gpt-4o", 85 + 170 * 2),
        ((1024, 1024), "gpt-4o", 85 + 170 * 4),
        ((4096, 2048), "gpt-4o", 85 + 170 * 6),
        ((640, 480), "gpt-4o-mini", 2833 + 5667 * 2),
        ((640, 480), "o4-mini", 516),
        ((1024, 1024), "gpt-5.4", 1229),
        ((1920, 1080), "gpt-6-sol", 2448),
    ],
)
def test_openai_images_cost_by_their_size(make, size, model, expected):
    assert cost_of(openai_image(make(*size)), "openai", model) == expected


def test_detail_low():
    assert cost_of(openai_image(png(4000, 4000), detail="low")) == 85
    responses = [
        {
            "role": "user",
            "content": [
                {"type": "input_image", "detail": "low", "image_url": openai_image(png(4000, 4000))[0]["content"][0]["image_url"]["url"]}
            ],
        }
    ]
    assert cost_of(responses) == 85


@pytest.mark.parametrize(
    ("size", "model", "expected"),
    [
        ((1024, 1024), "claude-opus-5", 1369),
        ((1920, 1080), "claude-opus-5", 2691),
        ((4000, 3000), "claude-sonnet-4-5", 1600),
        ((640, 480), "claude-3-5-haiku", 414),
    ],
)
def test_anthropic_images_cost_by_their_size(size, model, expected):
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(jpeg(*size)).decode()}
    found = cost_of([{"role": "user", "content": [{"type": "image", "source": source}]}], "anthropic", model)
    assert expected <= found <= expected + 10


@pytest.mark.parametrize(
    ("size", "model", "expected"),
    [((300, 300), "gemini-2.5-flash", 258), ((1536, 768), "gemini-2.5-flash", 258 * 6), ((300, 300), "gemini-3-flash", 1120)],
)
def test_gemini_images(size, model, expected):
    content = [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": png(*size)}}]}]
    assert cost_of(content, "gcp.gemini", model) == expected


def test_a_size_behind_a_long_header_is_found():
    assert cost_of(openai_image(jpeg(640, 480, exif=60_000), "jpeg")) == 85 + 170 * 2


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"file_data": {"file_uri": "gs://bucket/a.png", "mime_type": "image/png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA" + "A" * 100}},
        {"type": "input_file", "file_data": "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 /Type /Page " * 3).decode()},
    ],
)
def test_files_nobody_can_look_into_count_high(part):
    assert cost_of([{"role": "user", "content": [part]}]) >= 1000


def test_an_unseen_document_is_not_taken_for_a_picture():
    file = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]
    picture = [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]
    assert cost_of(file, "openai", "gpt-4o-mini") == 2000 < cost_of(picture, "openai", "gpt-4o-mini")


def test_audio_by_its_length():
    def audio(seconds):
        data = base64.b64encode(wav(seconds)).decode()
        return cost_of(
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]}], "openai", "gpt-audio"
        )

    assert 590 <= audio(60) - audio(0) <= 610


def test_a_base64_file_is_not_counted_as_text():
    data = base64.b64encode(png(640, 480) + bytes(range(256)) * 4000).decode()
    assert cost_of([{"role": "user", "content": data}]) == 85 + 170 * 2


@dataclasses.dataclass(slots=True)
class Slotted:
    role: str
    content: str


class Shape(BaseModel):
    role: str
    content: str


class Plain:
    def __init__(self, role, content):
        self.role, self.content = role, content


class Word(enum.StrEnum):
    A = PROSE * 20


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": PROSE * 20},
        {"role": "user", "content": [{"type": "text", "text": PROSE * 20}]},
        {"role": "user", "content": ({"text": PROSE * 20},)},
        {"role": "user", "content": Word.A},
        MappingProxyType({"role": "user", "content": PROSE * 20}),
        Shape(role="user", content=PROSE * 20),
        Plain("user", PROSE * 20),
        SimpleNamespace(role="user", content=PROSE * 20),
        Slotted("user", PROSE * 20),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_same_words_cost_the_same_however_they_are_given(message):
    assert abs(estimate_input([message], *GPT) - estimate_input([{"role": "user", "content": PROSE * 20}], *GPT)) <= 2


def test_tools_count_their_names_and_words():
    tool = {
        "type": "function",
        "function": {"name": "search", "description": PROSE, "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
    }
    messages = [{"role": "user", "content": "hello"}]
    plain, one, two = (estimate_input({"messages": messages, "tools": [tool] * count}, *GPT) for count in (0, 1, 2))
    assert plain + 40 < one < two < one + 100
    assert estimate_input({"messages": messages, "tools": [tool]}, "anthropic", "claude-sonnet-4-5") > one + 400


def test_functions_and_classes_given_as_tools_count():
    def search(query: str, limit: int) -> str:
        """Searches the catalogue for a query and returns the best results as text."""

    assert estimate_input([search], *GPT) > estimate_input([], *GPT) + 30
    assert estimate_input({"response_format": Shape}, *GPT) > estimate_input([], *GPT) + 20


def test_token_ids_count_one_each():
    assert cost_of([1, 2, 3] * 100) in range(290, 311)
    assert cost_of([[1] * 50, [2] * 50]) in range(90, 111)


def test_an_iterator_is_not_consumed():
    iterator = iter([{"role": "user", "content": "hello"}])
    assert estimate_input({"messages": iterator}, *GPT) >= 1000
    assert next(iterator) == {"role": "user", "content": "hello"}


class Hostile:
    def __getattribute__(self, name):
        raise RuntimeError(name)


class HostileDict(dict):
    def items(self):
        raise ValueError


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: 3,
        object,
        Hostile,
        lambda: HostileDict(a="b"),
        lambda: {1: {2: 3}},
        lambda: [None],
        bytes,
        lambda: {"image_url": None},
        lambda: {"type": 7, "url": 3},
    ],
)
def test_nothing_makes_it_raise(make):
    content = make()
    assert estimate_input(content, *GPT) >= 1
    assert estimate_input([{"role": "user", "content": content}], None, 3) >= 1


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["image_url", "tools", "input", "url", "data"]), inner),
    max_leaves=30,
)


@given(nested)
def test_any_content_has_a_positive_estimate(content):
    assert estimate_input(content, *GPT) >= 1


def test_work_is_bounded_and_the_rest_extrapolated():
    long = estimate_input([{"role": "user", "content": PROSE} for _ in range(50_000)], *GPT)
    short = estimate_input([{"role": "user", "content": PROSE} for _ in range(500)], *GPT)
    assert 50 < long / short < 150


def _blocks(count):
    return {"role": "user", "content": [{"type": "text", "text": "hi there"} for _ in range(count)]}


def _tool(count):
    properties = {f"p{number}": {"type": "string", "description": "the name of it"} for number in range(count)}
    return {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": properties}}


LARGE = {
    "messages": lambda count: ([{"role": "user", "content": "hi there"}] * count,),
    "messages in a tuple": lambda count: (({"role": "user", "content": "hi there"},) * count,),
    "messages in a deque": lambda count: (deque([{"role": "user", "content": "hi there"}] * count),),
    "messages of blocks": lambda count: ([_blocks(20)] * (count // 20),),
    "few messages of many blocks": lambda count: ([_blocks(count // 10)] * 10,),
    "blocks of one message": lambda count: ([_blocks(count)],),
    "many properties of a tool": lambda count: ("hi", [_tool(count)]),
    "tools": lambda count: ("hi", [_tool(20)] * (count // 20)),
    "prompts as tokens": lambda count: ([[1] * 50] * count,),
    "texts": lambda count: (["hello world this"] * count,),
    "rows": lambda count: ([{"role": "assistant", "content": [{"input": {"rows": [{"a": 7, "b": "x y"}] * count}}]}],),
    "long messages": lambda count: ([{"role": "user", "content": PROSE * 11}] * count,),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
def test_what_is_not_looked_at_is_taken_to_be_like_the_rest(make):
    small, large = estimate_input(make(1_000), *GPT), estimate_input(make(60_000), *GPT)
    assert 0.95 * 60 < large / small < 1.1 * 60


def test_many_tools_do_not_hide_the_messages():
    messages = [{"role": "user", "content": PROSE * 300}]
    tools = [_tool(20) for _ in range(2_000)]
    assert estimate_input((messages, tools), *GPT) - estimate_input(([], tools), *GPT) > 0.95 * estimate_input((messages,), *GPT)


def test_what_cannot_be_read_does_not_hide_the_rest():
    plain = [{"role": "user", "content": PROSE}] * 100
    assert estimate_input((plain + [HostileDict(a="b")] * 2,), *GPT) >= estimate_input((plain,), *GPT) + 2_000


def test_a_cycle_of_lists_has_a_bounded_estimate():
    left: list = [{"role": "user", "content": PROSE}]
    right = [left, left]
    left.append(right)
    assert estimate_input((left,), *GPT) < 10**9


def data_url(data, mime):
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("size", [20, 2_000, 20_000])
@pytest.mark.parametrize("give", [lambda data: {"file_data": data_url(data, "text/plain")}, lambda data: {"data": data}])
def test_a_text_as_a_file_costs_about_what_it_does_as_text(give, size):
    text = PROSE * size
    file = cost_of([{"role": "user", "content": [{"type": "input_file", **give(text.encode())}]}])
    assert cost_of([{"role": "user", "content": text}]) <= file * 1.05 < 1.4 * cost_of([{"role": "user", "content": text}])


def test_office_documents_and_other_files():
    small, large, other = b"PK\x03\x04" + b"\0" * 9_000, b"PK\x03\x04" + b"\0" * 150_000, b"\0\1\2" * 100_000
    costs = [cost_of([{"role": "user", "content": [{"file_data": data_url(data, "application/x")}]}]) for data in (small, large, other)]
    assert [round(cost, -2) for cost in costs] == [2_000, 15_000, 2_000]


@pytest.mark.parametrize(
    "text",
    [
        "/" * 60 + "\n" + "// a row of slashes begins this file\n" * 2_000,
        "//example.com/" + "a/path/" * 9_000,
        'data:{"id":"chatcmpl-123","object":"chat.completion.chunk"}\n' * 1_000,
        "data:2026-01-01,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n" * 1_000,
        "data:image/svg+xml;utf8,<svg>" + "<path/>" * 9_000,
        "data:" + "a" * 60_000,
        "/9j/" + "src/components/Button.tsx," * 3_000,
    ],
)
def test_a_text_that_begins_like_a_file_is_a_text(text):
    assert cost_of([{"role": "user", "content": text}]) > len(text) / 6


def test_pictures_and_documents_of_impossible_size_have_a_bounded_estimate():
    picture = [{"role": "user", "content": [{"image_url": {"url": data_url(png(2**32 - 1, 2**32 - 1), "image/png")}}]}]
    document = [{"role": "user", "content": [{"source": {"data": data_url(b"%PDF" + b"/Type/Page" * 99_999, "application/pdf")}}]}]
    for model in (GPT, ("openai", "gpt-6-sol"), ("anthropic", "claude-opus-5"), ("gcp.gemini", "gemini-2.5-pro")):
        assert cost_of(picture, *model) <= 12_000
        assert cost_of(document, *model) <= 4_000_000


def test_a_film_by_its_address():
    assert cost_of([{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]}]) >= 2_000


def test_cycles_and_depth_end():
    cycle: list = ["hello"]
    cycle.append(cycle)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert estimate_input(cycle, *GPT) > 0
    assert estimate_input(deep, *GPT) > 0


@pytest.mark.parametrize("text", [PROSE * 12_000, "a" * 10**6, "日本語のテキスト" * 30_000])
def test_a_sampled_text_counts_as_its_parts_do(text):
    piece = text[:60_000]
    whole, part = tokens.count(text, FAMILY_OPENAI) / len(text), tokens.count(piece, FAMILY_OPENAI) / len(piece)
    assert whole == pytest.approx(part, rel=0.02)


@given(st.text(), st.sampled_from(["openai", "claude", "claude-4.7", "gemini", "default"]))
def test_a_count_is_never_negative_and_text_is_never_free(text, family):
    count = tokens.count(text, family)
    assert count >= 0
    assert (count > 0) == bool(text)


@given(st.text(max_size=300), st.integers(1, 20))
def test_where_a_text_was_cut_into_pieces_does_not_matter(text, size):
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert estimate_text(pieces, *GPT) == estimate_text([text], *GPT)


def test_an_answer_that_is_empty_or_odd():
    assert estimate_text([], *GPT) == 0
    assert estimate_text(["", ""], *GPT) == 0
    assert estimate_text([None, "hello"], *GPT) >= 1
    assert estimate_text(["\ud800"], None, None) >= 1


def test_tool_calls_in_an_answer_add_their_overhead():
    first, second = ["find", '{"city"', ': "Paris"}'], ["find", '{"city": "Rome"}']
    for said in ([], ["It is warm."]):
        one = [*said, Called("find"), *first[1:]]
        two = [*one, Called("find"), *second[1:]]
        frame = estimate_text(one, *GPT) - estimate_text([*said, *first], *GPT)
        assert 5 <= frame <= 6
        assert estimate_text(two, *GPT) - estimate_text([*said, *first, *second], *GPT) >= frame + 24


def test_claude_writes_a_frame_around_each_argument():
    claude = ("anthropic", "claude-sonnet-4-6")
    none, two = [Called("add"), "{}"], [Called("add"), '{"x"', ': 2, "y": 3}']
    assert 34 <= estimate_text(none, *claude) <= 38
    assert 57 <= estimate_text(two, *claude) <= 65


def test_an_answer_in_json_is_no_call_of_a_tool():
    assert estimate_text(["{", '"value"', ": 173}"], *GPT) <= 9


@given(st.text(alphabet="aB0 .\n", max_size=40))
def test_pairs_are_found_at_odd_and_even_places(text: str) -> None:
    classes = text.replace("B", "A").replace(" ", "s").replace(".", "p").replace("\n", "n").encode()
    pairs = tokens._Pairs(classes)
    for pair in (b"aA", b"a0", b"s0", b"p0"):
        assert pairs.count(pair) == classes.count(pair)


@given(st.text(st.sampled_from("aB0 .\n\u00e9\u65e5\ud800"), max_size=60), st.sampled_from(["openai", "claude", "gemini"]))
def test_short_and_long_texts_are_counted_alike(text, family):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_SHORT", -1)
        long = tokens.count(text, family)
    assert tokens.count(text, family) == long
