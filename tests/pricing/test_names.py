from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.pricing import names


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("x_ai", "xai"), ("x-ai", "xai"), ("xAI", "xai"), ("gcp.gemini", "google"), ("gcp.vertex_ai", "google"), ("gcp.gen_ai", "google"),
        ("azure.ai.openai", "azure"), ("azure.ai.inference", "azure"), ("aws.bedrock", "aws"), ("mistral_ai", "mistral"),
        ("moonshot_ai", "moonshotai"), ("together_ai", "together"), ("openai", "openai"), ("IBM.watsonx.ai", "ibmwatsonxai"),
    ],
)  # fmt: skip
def test_every_spelling_of_a_provider_is_one(spelling, key):
    assert names.provider_key(spelling) == key


@pytest.mark.parametrize(
    ("provider", "model", "first_exact"),
    [
        ("gcp.gemini", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("gcp.vertex_ai", "publishers/anthropic/models/claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5@20250929")),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", ("aws", "us.amazon.nova-lite-v1:0")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "gpt-4o", ("openai", "gpt-4o")),
        ("anthropic", "anthropic/claude-opus-4-5", ("anthropic", "claude-opus-4-5")),
    ],
)
def test_the_plain_name_is_among_the_certain_ones(provider, model, first_exact):
    assert names.Candidate(*first_exact, exact=True) in names.candidates(provider, model)


@pytest.mark.parametrize(
    ("model", "shorter"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"), ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"), ("gpt-4-0613", "gpt-4"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"), ("mistral-large-2411", "mistral-large"), ("command-r-08-2024", "command-r"),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash-preview"), ("amazon.nova-lite-v1:0", "amazon.nova-lite"),
        ("deepseek-v3", "deepseek-v3"), ("gpt-4.1", "gpt-4.1"), ("gpt-4-32k", "gpt-4-32k"), ("claude-opus-4-5", "claude-opus-4-5"),
    ],
)  # fmt: skip
def test_undated(model, shorter):
    assert names.undated(model) == shorter


def test_guesses_come_last_and_are_marked():
    found = names.candidates("openai", "ft:gpt-4.1-2025-04-14:acme::id")
    assert [candidate.exact for candidate in found] == sorted((candidate.exact for candidate in found), reverse=True)
    assert [(candidate.model, candidate.exact) for candidate in found][-2:] == [("gpt-4.1-2025-04-14", False), ("gpt-4.1", False)]


def test_another_makers_model_behind_an_openai_client_is_a_guess_and_behind_a_local_server_is_none():
    assert names.Candidate("anthropic", "claude-opus-4-5", exact=False) in names.candidates("openai", "anthropic/claude-opus-4-5")
    assert {candidate.provider for candidate in names.candidates("vllm", "openai/gpt-oss-20b")} == {"vllm"}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-sonnet-4-20250514", "claude"), ("claude-3-5-haiku-20241022", "claude"), ("anthropic.claude-v2:1", "claude"),
        ("us.anthropic.claude-sonnet-4-6-v1:0", "claude"), ("claude-opus-4-7", "claude-4.7"), ("claude-fable-5-1", "claude-4.7"),
        ("gpt-4o", "openai"), ("o3-mini", "openai"), ("openai/gpt-5", "openai"), ("gemini-3-pro", "gemini"), ("gpt-oss-20b", "default"),
        ("grok-4", "default"), (None, "default"),
    ],
)  # fmt: skip
def test_family(model, family):
    assert names.family("somebody", model) == family


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_has_candidates_and_the_name_as_given_is_one(provider, model):
    found = names.candidates(provider, model)
    assert any(candidate.model == model.strip() for candidate in found)
    assert len(found) == len(set(found)) <= 16
