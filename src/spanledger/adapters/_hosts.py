"""Which provider a client talks to: a ``gen_ai.provider.name`` from the client's class or the host of its base URL."""

from __future__ import annotations

from typing import Any, NamedTuple

# Names in the GenAI conventions' list are used as they stand there; the rest are the services' own names.
_CLASSES = (
    ("Azure", "azure.ai.openai"),
    ("Foundry", "azure.ai.inference"),
    ("Bedrock", "aws.bedrock"),
    ("Vertex", "gcp.vertex_ai"),
    ("GoogleCloud", "gcp.vertex_ai"),
)
_HUGGINGFACE_SELLERS = (
    "cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale", "ovhcloud", "publicai", "sambanova", "together"
)  # fmt: skip
"""Of those that Hugging Face's router passes calls on to, the ones with a price list. Its other paths do not say who answers."""
_HOSTS = (
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com/openai", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("models.inference.ai.azure.com", "azure.ai.inference"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.x.ai", "x_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("ai-gateway.vercel.sh", "vercel"),
    ("api.arcee.ai", "arcee"),
    ("api.avian.io", "avian"),
    ("inference.baseten.co", "baseten"),
    ("api.cloudflare.com/client/v4/accounts/", "cloudflare"),
    ("api.cursor.com", "cursor"),
    (".cloud.databricks.com", "databricks"),
    (".gcp.databricks.com", "databricks"),
    (".azuredatabricks.net", "databricks"),
    ("api.doubleword.ai", "doubleword"),
    (".elevenlabs.io", "elevenlabs"),
    (".githubcopilot.com", "github-copilot"),
    *((f"router.huggingface.co/{seller}", f"huggingface_{seller}") for seller in _HUGGINGFACE_SELLERS),
    ("router.huggingface.co", "huggingface"),
    ("api.meta.ai", "meta"),
    ("api.minimax.io", "minimax"),
    ("api.minimax.com", "minimax"),
    ("api.minimaxi.com", "minimax"),
    ("api.minimaxi.io", "minimax"),
    (".modal.run", "modal"),
    (".modal.direct", "modal"),
    ("api.novita.ai", "novita"),
    (".endpoints.kepler.ai.cloud.ovh.net", "ovhcloud"),
    ("api.quicksilverpro.io", "quicksilverpro"),
    ("api.typesafe.ai", "typesafe"),
    ("api.voyageai.com", "voyageai"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zhipuai"),
)
"""What hosts end with, some with what the path begins with; the first that fits holds. A provider that genai-prices knows and the
conventions do not has the id that it has there: under it, its own prices are found."""


class Endpoint(NamedTuple):
    """Provider name, host and port."""

    provider: str
    address: str | None
    port: int | None


_known: dict[int, tuple[Any, type, str, Endpoint]] = {}
"""By the id of a client's base URL, which is kept with the client's class and the default that it was read with. A hash of the URL would
be made of its text, and weak references to clients cost more than the rest of the look-up."""
_MOST_KNOWN = 256


def endpoint(instance: Any, default: str) -> Endpoint:
    """Where a resource object (``client.chat.completions``) sends its requests. ``default`` names the provider of unknown hosts."""
    try:
        client = instance._client  # noqa: SLF001  # there is no public way from a resource to its client
        url = client.base_url
    except AttributeError:
        return Endpoint(default, None, None)
    seen = _known.get(id(url))
    if seen is not None:
        known_url, kind, known_default, found = seen
        if known_url is url and kind is type(client) and known_default == default:
            return found
    host = getattr(url, "host", None) or None
    port = getattr(url, "port", None) or {"https": 443, "http": 80}.get(getattr(url, "scheme", ""))
    found = Endpoint(_class_name(type(client)) or _host_name(host or "", str(getattr(url, "path", ""))) or default, host, port)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[id(url)] = (url, type(client), default, found)
    return found


def _class_name(kind: type) -> str | None:
    """The SDKs' own classes only: an application's ``MyAzureClient`` says nothing."""
    names = [cls.__name__ for cls in kind.__mro__ if cls.__module__.startswith(("openai.", "anthropic."))]
    return next((provider for word, provider in _CLASSES if any(word in name for name in names)), None)


def _host_name(host: str, path: str) -> str | None:
    if host.startswith("bedrock") and host.endswith((".amazonaws.com", ".api.aws")):
        return "aws.bedrock"
    return next((provider for place, provider in _HOSTS if _is_at(place, host, path)), None)


def _is_at(place: str, host: str, path: str) -> bool:
    ending, slash, start = place.partition("/")
    return host.endswith(ending) and path.startswith(slash + start)
