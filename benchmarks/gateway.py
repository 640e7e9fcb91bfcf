"""How many spans a second the gateway takes without losing one, and what that costs it.

    python benchmarks/gateway.py [--seconds 20] [--senders 2] [--spans 200]

Starts a stack of its own on free ports, sends spans of calls (as the package makes them, with 27 attributes) as fast as the gateway
acknowledges them, and then looks whether the file of spans and the sums in Prometheus have every one. The senders run on the same machine;
what they cost is printed beside. Needs the programs of `spanledger stack build`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.stack.ports import Ports
from spanledger.stack.stack import Stack
from spanledger.telemetry import semconv as s

TICKS = os.sysconf("SC_CLK_TCK")
TOKENS = 150
ATTRIBUTES: dict[str, object] = {
    s.OPERATION: "chat", s.PROVIDER: "openai", s.REQUEST_MODEL: "gpt-4o-mini", s.RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
    s.SERVER_ADDRESS: "api.openai.com", s.SERVER_PORT: 443, s.REQUEST_MAX_TOKENS: 400, s.RESPONSE_ID: "chatcmpl-0123456789abcdef",
    s.CONVERSATION_ID: "conversation-1", s.INPUT_TOKENS: 100, s.OUTPUT_TOKENS: 50, s.CACHE_READ_TOKENS: 20, s.REASONING_TOKENS: 10,
    s.ACTIVITY: "llm", s.COUNTED: True, s.USAGE_STATE: "exact", s.OUTCOME: "completed", s.COST_NANO_USD: 43_500, s.COST_STATUS: "exact",
    s.COST_AMOUNT: 0.0000435, s.COST_CURRENCY: "USD", s.PRICE_SOURCE: "genai-prices", s.PRICE_VERSION: "0.2.3",
    s.PRICE_MODEL: "openai/gpt-4o-mini", s.EXECUTION_ID: "0123456789abcdef0123456789abcdef", s.SCOPE_PREFIX + "customer": "acme",
}  # fmt: skip


class Usage(NamedTuple):
    """What a process has used: CPU seconds, and its largest memory in MB."""

    cpu: float
    peak: float


def usage(pid: int) -> Usage:
    """Of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Usage((int(fields[11]) + int(fields[12])) / TICKS, int(status["VmHWM"].split()[0]) / 1024)


def payload(sender: int, number: int, spans: int) -> bytes:
    """One export request with ids of its own."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in (("service.name", "benchmark"), ("service.instance.id", f"sender-{sender}")):
        resource_spans.resource.attributes.add(key=key).value.string_value = value
    scope = resource_spans.scope_spans.add()
    now = time.time_ns()
    for index in range(spans):
        identity = f"{sender:04x}{number:08x}{index:04x}"
        span = scope.spans.add(
            trace_id=bytes.fromhex(identity * 2), span_id=bytes.fromhex(identity), name="chat gpt-4o-mini", kind=3,
            start_time_unix_nano=now, end_time_unix_nano=now + 10**9,
        )  # fmt: skip
        span.attributes.add(key=s.ENTRY_ID).value.string_value = identity
        for key, value in ATTRIBUTES.items():
            target = span.attributes.add(key=key).value
            kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
            setattr(target, kind, value)
    return request.SerializeToString()


def send(sender: int, port: int, seconds: float, spans: int, results: multiprocessing.Queue[tuple[int, float]]) -> None:
    """Sends until the time is over; puts how many spans were acknowledged, and its own CPU seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    acknowledged, number, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.request("POST", "/v1/traces", payload(sender, number, spans), {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        number += 1
        acknowledged += spans if answer.status == http.HTTPStatus.OK else 0
    own = resource.getrusage(resource.RUSAGE_SELF)
    results.put((acknowledged, own.ru_utime + own.ru_stime))


def in_file(directory: Path) -> int:
    """Spans in the file of spans."""
    return sum(
        len(scope["spans"])
        for path in sorted((directory / "spans").iterdir())
        for line in path.open()
        for found in json.loads(line)["resourceSpans"]
        for scope in found["scopeSpans"]
    )


def in_prometheus(stack: Stack, measure: str) -> int:
    """The sum that was derived from the spans."""
    query = urllib.parse.urlencode({"query": f'sum(max_over_time(spanledger_recon_{measure}_total{{source="span"}}[1h]))'})
    with urllib.request.urlopen(f"{stack.urls['prometheus']}/api/v1/query?{query}", timeout=30) as answer:
        rows = json.load(answer)["data"]["result"]
    return int(rows[0]["value"][1]) if rows else 0


def measure(stack: Stack, seconds: float, senders: int, spans: int) -> None:
    """Sends, waits, and prints what was seen."""
    results: multiprocessing.Queue[tuple[int, float]] = multiprocessing.Queue()
    pid = next(state.pid for state in stack.status() if state.name == "gateway")
    assert pid is not None
    before, began = usage(pid), time.monotonic()
    port = stack.layout.ports.gateway_http
    processes = [multiprocessing.Process(target=send, args=(number, port, seconds, spans, results)) for number in range(senders)]
    for process in processes:
        process.start()
    told = [results.get() for _ in processes]
    took, after = time.monotonic() - began, usage(pid)
    for process in processes:
        process.join()
    acknowledged, rate = sum(count for count, _ in told), sum(count for count, _ in told) / took
    deadline = time.monotonic() + 120
    while in_prometheus(stack, "operations") < acknowledged and time.monotonic() < deadline:
        time.sleep(1)
    cpu = after.cpu - before.cpu
    print(f"{acknowledged:,} spans acknowledged in {took:.1f} s: {rate:,.0f} spans/s, {spans} a request, {senders} senders")
    print(f"gateway: {cpu / took:.2f} cores, {cpu / acknowledged * 1e6:.0f} us a span, at most {after.peak:.0f} MB")
    print(f"senders: {sum(own for _, own in told) / took:.2f} cores")
    lost = acknowledged - in_file(stack.layout.directory)
    print(f"in the file: {acknowledged - lost:,} ({lost} lost); in Prometheus: {in_prometheus(stack, 'operations'):,} operations, ", end="")
    print(f"{in_prometheus(stack, 'tokens') - acknowledged * TOKENS} tokens off")
    print(f"on paper: 1,000 calls/s need {1000 * cpu / acknowledged:.2f} cores of this machine for the gateway")


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description="Throughput of the gateway.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--spans", type=int, default=200, help="spans in one request")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "stack", Ports.free()) as stack:
        measure(stack, arguments.seconds, arguments.senders, arguments.spans)


if __name__ == "__main__":
    main()
