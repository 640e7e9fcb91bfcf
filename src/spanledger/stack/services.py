"""What each service of the stack is: its command line, its configuration, its ports, and how to ask whether it is well."""

from __future__ import annotations

import http.client
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from spanledger import private
from spanledger import settings as config
from spanledger.stack.ports import LOOPBACK, Ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_APPENDED = ("spans/spans.jsonl", "logs/logs.jsonl")
"""What ``gateway.yaml`` appends to."""
_NAME_OF_DEFAULT = {port: name for name, port in Ports().as_dict().items()}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one stack keeps things, and its ports."""

    directory: Path
    ports: Ports

    @property
    def config(self) -> Path:
        """The configurations as the services read them, with this stack's ports."""
        return self.directory / "config"

    @property
    def run(self) -> Path:
        """Which processes there are."""
        return self.directory / "run"

    def log(self, service: str) -> Path:
        """What a service prints."""
        return self.directory / "logs" / f"{service}.log"

    def folders(self) -> list[Path]:
        """All folders that must exist."""
        names = ("config", "config/rules", "run", "logs", "spans", *SERVICES)
        return [self.directory, *(self.directory / name for name in names)]

    def address(self, port: str) -> str:
        """Host and port, by the port's name."""
        return f"{LOOPBACK}:{self.ports.as_dict()[port]}"

    def url(self, port: str) -> str:
        """The same as a URL."""
        return f"http://{self.address(port)}"


class Service(NamedTuple):
    """One process."""

    name: str
    binary: str | None
    """None: it is a part of Spanledger."""
    arguments: Callable[[Layout], list[str]]
    ports: tuple[str, ...]
    """All it listens on; the first one is the one to show."""
    health: tuple[str, str]
    """Port and path that answer with status 200 when it can work."""
    purpose: str


def _configured(layout: Layout, name: str) -> list[str]:
    return ["--config", str(layout.config / f"{name}.yaml")]


def _prometheus(layout: Layout) -> list[str]:
    return [
        f"--config.file={layout.config / 'prometheus.yaml'}",
        f"--storage.tsdb.path={layout.directory / 'prometheus'}",
        f"--web.listen-address={layout.address('prometheus')}",
        "--web.enable-otlp-receiver",
        "--storage.tsdb.retention.time=40d",  # the dashboards add up a month
        "--enable-feature=exemplar-storage",
    ]


def _alertmanager(layout: Layout) -> list[str]:
    return [
        f"--config.file={layout.config / 'alertmanager.yaml'}",
        f"--storage.path={layout.directory / 'alertmanager'}",
        f"--web.listen-address={layout.address('alertmanager')}",
        "--cluster.listen-address=",  # one alone: no gossip port
    ]


def _audit(layout: Layout) -> list[str]:
    return ["-P", "-m", "spanledger.cli", "audit", "serve", "--port", str(layout.ports.audit)]


_ALL = (
    Service(
        "agent", "collector", lambda layout: _configured(layout, "agent"),
        ("agent_grpc", "agent_http", "agent_health", "agent_metrics"), ("agent_health", "/"), "receives telemetry (OTLP, gRPC)",
    ),
    Service(
        "gateway", "collector", lambda layout: _configured(layout, "gateway"),
        ("gateway_grpc", "gateway_http", "gateway_health", "gateway_metrics"), ("gateway_health", "/"), "derives the views, samples traces",
    ),
    Service(
        "jaeger", "jaeger", lambda layout: _configured(layout, "jaeger"),
        ("jaeger_query", "jaeger_query_grpc", "jaeger_grpc", "jaeger_http"), ("jaeger_query", "/api/v3/services"), "keeps traces",
    ),
    Service("prometheus", "prometheus", _prometheus, ("prometheus",), ("prometheus", "/-/ready"), "keeps metrics, computes discrepancies"),
    Service("alertmanager", "alertmanager", _alertmanager, ("alertmanager",), ("alertmanager", "/-/ready"), "sends alerts to audit"),
    Service("audit", None, _audit, ("audit",), ("audit", "/health"), "writes audit records"),
)  # fmt: skip
SERVICES: dict[str, Service] = {service.name: service for service in _ALL}
"""In the order in which they are stopped: who sends before who receives, so that queues run empty."""


def command(service: Service, layout: Layout, program: Path | None) -> list[str]:
    """The whole command line; ``program`` is the path of ``service.binary``."""
    return [str(program) if program else sys.executable, *service.arguments(layout)]


def environment(service: Service, layout: Layout) -> dict[str, str]:
    """The environment of a service: the user's, with this stack's places in it.

    The user's OTEL_* variables are for the application; programs of the stack would follow some of them, and send to themselves.
    """
    # Jaeger would trace its own queries, and send them to the agent's usual port; audit records do go to the agent.
    telemetry = {"OTEL_TRACES_SAMPLER": "always_off"} if service.binary else {"OTEL_EXPORTER_OTLP_ENDPOINT": layout.url("agent_grpc")}
    # All is on the loopback address, and Alertmanager's configuration names no token.
    inherited = {
        name: value
        for name, value in config.export_environment().items()
        if not name.startswith("OTEL_") and name != "SPANLEDGER_AUDIT_TOKEN"
    }
    places = {
        "SPANLEDGER_STACK_DIR": str(layout.directory),
        "SPANLEDGER_AGENT_GRPC": layout.address("agent_grpc"),
        "SPANLEDGER_AGENT_HTTP": layout.address("agent_http"),
        "SPANLEDGER_AGENT_HEALTH": layout.address("agent_health"),
        "SPANLEDGER_AGENT_METRICS_PORT": str(layout.ports.agent_metrics),
        "SPANLEDGER_GATEWAY": layout.address("gateway_grpc"),
        "SPANLEDGER_GATEWAY_GRPC": layout.address("gateway_grpc"),
        "SPANLEDGER_GATEWAY_HTTP": layout.address("gateway_http"),
        "SPANLEDGER_GATEWAY_HEALTH": layout.address("gateway_health"),
        "SPANLEDGER_GATEWAY_METRICS_PORT": str(layout.ports.gateway_metrics),
        "SPANLEDGER_JAEGER": layout.address("jaeger_grpc"),
        "SPANLEDGER_PROMETHEUS": f"{layout.url('prometheus')}/api/v1/otlp",
    }
    return inherited | places | telemetry


def application_environment(layout: Layout) -> dict[str, str]:
    """What to set for the application: where it sends, and that the SDK tells what it loses."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": layout.url("agent_grpc"), "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"}


def healthy(service: Service, layout: Layout) -> bool:
    """Whether it answers that it can work."""
    port, path = service.health
    connection = http.client.HTTPConnection(LOOPBACK, layout.ports.as_dict()[port], timeout=2)  # no proxy of the environment between
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def render(source: Path, layout: Layout) -> None:
    """Writes the configurations from ``source`` into the stack's directory; every default address becomes this stack's own.

    Makes the gateway's files, too: it gives the mode 0644 to those that it makes itself, whatever the umask is, and leaves others theirs.
    """
    for name in ("agent", "gateway", "jaeger", "prometheus", "alertmanager"):
        text = (source / f"{name}.yaml").read_text()
        private.write(layout.config / f"{name}.yaml", _addressed(text, layout))
    for rules in (source / "rules").glob("*.rules.yaml"):
        private.write(layout.config / "rules" / rules.name, rules.read_text())
    for name in _APPENDED:
        _keep_private(layout.directory / name)


def _keep_private(file: Path) -> None:
    """An empty file if there is none; those to which it was rotated, and which the gateway made, are closed to others as well."""
    with open(file, "ab", opener=private.opener):
        pass
    for rotated in file.parent.glob(f"{file.stem}*{file.suffix}"):
        rotated.chmod(0o600)


def _addressed(text: str, layout: Layout) -> str:
    def own(match: re.Match[str]) -> str:
        name = _NAME_OF_DEFAULT.get(int(match[1]))
        return layout.address(name) if name else match[0]

    return re.sub(rf"{re.escape(LOOPBACK)}:(\d+)\b", own, text)
