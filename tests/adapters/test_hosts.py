"""Hosts whose provider has a price list of its own in genai-prices: they are named so that this list is found."""

from __future__ import annotations

import re
from typing import Any

import openai
import pytest
from genai_prices.data import providers

from spanledger.model import CostStatus, Usage
from spanledger.pricing import names
from spanledger.pricing.book import PriceBook

NOW = 1_795_000_000.0  # 2026-11-18
PRICE_LISTS = {names.provider_key(provider.id): provider for provider in providers}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook()


def named(reader: Any, url: str) -> str:
    with openai.OpenAI(api_key="test", base_url=url) as client:
        provider = reader("openai", "Completions.create", module="chat").request(client.chat.completions, (), {}).provider
    assert isinstance(provider, str)
    return provider


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.arcee.ai/api/v1", "arcee"),
        ("https://api.avian.io/v1", "avian"),
        ("https://inference.baseten.co/v1", "baseten"),
        ("https://api.cloudflare.com/client/v4/accounts/a1/ai/v1", "cloudflare"),
        ("https://api.cursor.com/v1", "cursor"),
        ("https://dbc-1.cloud.databricks.com/serving-endpoints", "databricks"),
        ("https://1.gcp.databricks.com/serving-endpoints", "databricks"),
        ("https://adb-1.2.azuredatabricks.net/ai-gateway/mlflow/v1", "databricks"),
        ("https://api.doubleword.ai/v1", "doubleword"),
        ("https://api.elevenlabs.io/v1", "elevenlabs"),
        ("https://api.eu.residency.elevenlabs.io/v1", "elevenlabs"),
        ("https://api.githubcopilot.com", "github-copilot"),
        ("https://router.huggingface.co/together/v1", "huggingface_together"),
        ("https://router.huggingface.co/fireworks-ai/inference/v1", "huggingface_fireworks-ai"),
        ("https://router.huggingface.co/novita/v3/openai", "huggingface_novita"),
        ("https://api.meta.ai/v1", "meta"),
        ("https://api.minimax.io/v1", "minimax"),
        ("https://api.minimaxi.com/v1", "minimax"),
        ("https://me--api.modal.run/v1", "modal"),
        ("https://me.us-east.modal.direct/v1", "modal"),
        ("https://api.novita.ai/v3/openai", "novita"),
        ("https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "ovhcloud"),
        ("https://api.quicksilverpro.io/v1", "quicksilverpro"),
        ("https://api.typesafe.ai/v1", "typesafe"),
        ("https://api.voyageai.com/v1", "voyageai"),
        ("https://api.z.ai/api/paas/v4", "zai"),
        ("https://open.bigmodel.cn/api/paas/v4", "zhipuai"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://api.moonshot.ai/v1", "moonshot_ai"),
        ("https://api.cohere.com/compatibility/v1", "cohere"),
        ("https://r.services.ai.azure.com/models", "azure.ai.inference"),
        ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "aws.bedrock"),
    ],
)
def test_a_host_leads_to_the_price_list_that_claims_it(reader: Any, url: str, provider: str) -> None:
    assert named(reader, url) == provider
    assert re.match(PRICE_LISTS[names.provider_key(provider)].api_pattern, url)


@pytest.mark.parametrize(
    "url",
    ["https://api.cloudflare.com/v1", "https://example.com/router.huggingface.co/together", "https://llm.corp.example/v1"],
)
def test_any_other_host_is_taken_for_one_in_front_of_the_apis_maker(reader: Any, url: str) -> None:
    assert named(reader, url) == "openai"


def test_hugging_faces_own_choice_of_a_seller_is_nobodys_price(reader: Any, book: PriceBook) -> None:
    provider = named(reader, "https://router.huggingface.co/v1")
    assert provider == "huggingface"
    assert book.price(provider, "openai/gpt-oss-120b", Usage(9, 9), when=NOW).status is CostStatus.UNPRICED


@pytest.mark.parametrize(
    ("url", "model", "found"),
    [
        ("https://api.z.ai/api/paas/v4", "glm-4.6", "zai/GLM-4.6"),
        ("https://api.minimax.io/v1", "MiniMax-M2", "minimax/MiniMax-M2"),
        ("https://inference.baseten.co/v1", "openai/gpt-oss-120b", "baseten/openai/gpt-oss-120b"),
        ("https://router.huggingface.co/together/v1", "openai/gpt-oss-120b", "huggingface_together/openai/gpt-oss-120b"),
        ("https://router.huggingface.co/fireworks-ai/inference/v1", "openai/gpt-oss-20b", "huggingface_fireworks-ai/openai/gpt-oss-20b"),
        ("https://api.cloudflare.com/client/v4/accounts/a1/ai/v1", "@cf/openai/gpt-oss-120b", "cloudflare/@cf/openai/gpt-oss-120b"),
        ("https://api.doubleword.ai/v1", "openai/gpt-oss-20b", "doubleword/openai/gpt-oss-20b"),
        ("https://api.groq.com/openai/v1", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("https://llm.corp.example/v1", "gpt-4o", "openai/gpt-4o"),
    ],
)
def test_the_price_is_that_of_who_answers(reader: Any, book: PriceBook, url: str, model: str, found: str) -> None:
    cost = book.price(named(reader, url), model, Usage(1000, 100), when=NOW)
    assert (cost.model, cost.status) == (found, CostStatus.EXACT)


def test_an_embedding_behind_openais_client_has_its_sellers_price(reader: Any, book: PriceBook) -> None:
    cost = book.price(named(reader, "https://api.voyageai.com/v1"), "voyage-3.5", Usage(1000), when=NOW)
    assert (cost.nano_usd, cost.status) == (60_000, CostStatus.EXACT)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://llm.corp.example/v1", "https://api.githubcopilot.com"])
@pytest.mark.parametrize("model", ["gpt-oss-120b", "openai/gpt-oss-20b", "openai/gpt-oss-safeguard-20b"])
def test_open_weights_have_no_price_where_nobody_lists_one(reader: Any, book: PriceBook, url: str, model: str) -> None:
    assert book.price(named(reader, url), model, Usage(1000, 100), when=NOW).status is CostStatus.UNPRICED
