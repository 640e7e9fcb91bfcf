"""A real stack from its first start to its end."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.errors import StackError
from spanledger.stack import files, processes, services
from spanledger.stack.ports import Ports
from spanledger.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("binaries")]
NAMES = set(services.SERVICES)


def _pids(states: list[dict[str, Any]]) -> dict[str, int]:
    return {state["name"]: state["pid"] for state in states}


def _exists(pid: int) -> bool:
    return Path("/proc", str(pid), "stat").exists() and " Z " not in Path("/proc", str(pid), "stat").read_text()


def _ports(ports: Ports) -> list[str]:
    return [part for name, port in ports.as_dict().items() for part in ("--port", f"{name}={port}")]


def test_up_up_kill_up_down(spanledger: Command, spanledger_json: Callable[..., Any], tmp_path: Path) -> None:
    directory, ports = tmp_path / "stack", Ports.free()
    try:
        first = spanledger_json("stack", "up", "--dir", directory, *_ports(ports))
        assert set(first["started"]) == NAMES
        assert {state["state"] for state in first["services"]} == {"healthy"}, "the services outlive the command that started them"
        assert first["environment"] == {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports.agent_grpc}",
            "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
        }
        pids = _pids(first["services"])

        second = spanledger_json("stack", "up", "--dir", directory)
        assert (second["started"], _pids(second["services"]), second["ports"]) == ([], pids, ports.as_dict())
        shown = spanledger("stack", "up", "--dir", directory).stdout
        assert "nothing was changed" in shown
        assert f"export SPANLEDGER_STACK_DIR={directory}" in shown

        os.kill(pids["prometheus"], signal.SIGKILL)
        status = spanledger("stack", "status", "--dir", directory, "--json")
        states = {state["name"]: state["state"] for state in json.loads(status.stdout)["services"]}
        assert (status.returncode, states) == (1, {**dict.fromkeys(NAMES, "healthy"), "prometheus": "dead"})

        third = spanledger_json("stack", "up", "--dir", directory)
        assert third["started"] == ["prometheus"]
        now = _pids(third["services"])
        assert {name: pid for name, pid in now.items() if name != "prometheus"} == {k: v for k, v in pids.items() if k != "prometheus"}
        assert spanledger("stack", "status", "--dir", directory).returncode == 0

        other = spanledger("stack", "up", "--dir", directory, "--port-base", "20000")
        assert (other.returncode, "use spanledger stack down first" in other.stderr) == (2, True)

        down = spanledger_json("stack", "down", "--dir", directory)
        assert set(down["stopped"]) == NAMES
        assert [pid for pid in now.values() if _exists(pid)] == []
        assert (directory / "prometheus" / "wal").is_dir()
        assert spanledger("stack", "status", "--dir", directory).returncode == 1
        assert spanledger("stack", "down", "--dir", directory).stdout == "Nothing runs.\n"
    finally:
        spanledger("stack", "down", "--dir", directory)


def test_only_the_owner_can_read_the_state(make_stack: Callable[..., Stack], open_umask: None) -> None:
    stack = make_stack()
    stack.start()
    span = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat"}
    record = {"severityNumber": 9, "body": {"stringValue": "a workflow began"}}
    _send(stack, "traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    _send(stack, "logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    everything = {path.relative_to(stack.layout.directory): path for path in stack.layout.directory.rglob("*")}
    assert {Path("spans/spans.jsonl"), Path("logs/logs.jsonl")} <= everything.keys(), "the gateway answers when both are in their files"
    assert len(everything) > 30
    assert [path for path in (stack.layout.directory, *everything.values()) if path.stat().st_mode & 0o077] == []


@pytest.fixture
def open_umask() -> Iterator[None]:
    """What we make ourselves must be private whatever the user's umask lets through."""
    before = os.umask(0)
    yield
    os.umask(before)


def _send(stack: Stack, signal_: str, payload: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{stack.layout.url('gateway_http')}/v1/{signal_}", json.dumps(payload).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200


def test_two_stacks_side_by_side(make_stack: Callable[..., Stack]) -> None:
    one, two = make_stack("one"), make_stack("two")
    assert one.start(["gateway"]) == two.start(["gateway"]) == ("gateway",)
    one.kill("gateway")
    state = {stack: {each.name: each.state for each in stack.status()}["gateway"] for stack in (one, two)}
    assert state == {one: "dead", two: "healthy"}
    one.restart("gateway")
    assert {each.name: each.state for each in one.status()}["gateway"] == "healthy"


def test_restart_is_another_process_on_the_same_ports(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.start(["alertmanager"])
    before = next(each for each in stack.status() if each.name == "alertmanager")
    stack.restart("alertmanager")
    after = next(each for each in stack.status() if each.name == "alertmanager")
    assert (after.state, after.url) == ("healthy", before.url)
    assert after.pid != before.pid


def test_a_taken_port_is_named_with_its_owner_and_nothing_is_left(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    with socket.create_server(("127.0.0.1", stack.layout.ports.alertmanager)), pytest.raises(StackError) as failure:
        stack.start()
    port = stack.layout.ports.alertmanager
    assert f"{port} (alertmanager) by process {os.getpid()} (" in str(failure.value)
    assert "--port alertmanager=PORT or --port-base PORT" in str(failure.value)
    assert {each.state for each in stack.status()} == {"stopped"}


def test_a_service_that_cannot_start_says_why_and_the_others_are_stopped(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    files.write(tmp_path / "config")
    (tmp_path / "config" / "gateway.yaml").write_text("receivers: {nonsense: {}}\n")
    stack = make_stack(configuration=tmp_path / "config")
    with pytest.raises(StackError, match="gateway ended while it was starting; its log is") as failure:
        stack.start()
    assert "nonsense" in "\n".join(failure.value.log)
    assert {each.state for each in stack.status()} == {"stopped"}


def test_a_service_that_does_not_get_healthy_is_named_after_the_deadline(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    files.write(tmp_path / "config")
    agent = tmp_path / "config" / "agent.yaml"
    agent.write_text(agent.read_text().replace("extensions: [health_check, ", "extensions: ["))
    stack = make_stack(configuration=tmp_path / "config")
    with pytest.raises(StackError, match="agent is not healthy after 1 seconds") as failure:
        stack.start(["agent"], deadline=1)
    assert "Everything is ready" in "\n".join(failure.value.log)
    assert {each.state for each in stack.status()} == {"stopped"}


def test_a_service_that_died_comes_back_with_the_configuration_it_had(
    make_stack: Callable[..., Stack], spanledger_json: Callable[..., Any], tmp_path: Path
) -> None:
    files.write(tmp_path / "config")
    (tmp_path / "config" / "alertmanager.yaml").write_text("route: {receiver: mine}\nreceivers: [{name: mine}]\n")
    stack = make_stack(configuration=tmp_path / "config")
    stack.start(["alertmanager"])
    stack.kill("alertmanager")
    assert spanledger_json("stack", "up", "--only", "alertmanager", "--dir", stack.layout.directory)["started"] == ["alertmanager"]
    assert "mine" in (stack.layout.config / "alertmanager.yaml").read_text()
    with pytest.raises(StackError, match="run with other ports or configurations"):
        Stack(stack.layout.directory, configuration=tmp_path).start()


def test_a_later_process_with_the_same_pid_is_not_ours(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        stack.layout.run.mkdir(parents=True)
        processes.save(stack.layout.run / "jaeger.json", processes.Process(stranger.pid, "long ago"))
        assert {each.name: each.state for each in stack.status()}["jaeger"] == "dead"
        assert stack.stop() == ()
        assert stranger.poll() is None, "it was stopped"
        stranger.communicate(b"\n")


def test_a_directory_that_is_a_file(spanledger: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = spanledger("stack", "up", "--dir", tmp_path / "file" / "below")
    assert result.returncode == 2
    assert (
        f"cannot write to {tmp_path}/file/below: Not a directory; choose another directory by --dir or SPANLEDGER_STACK_DIR"
        in result.stderr
    )


def test_a_full_disk(own_places: None, tmp_path: Path) -> None:
    """No file may grow here, as on a disk without space."""
    command = [sys.executable, "-m", "spanledger.cli", "stack", "up", "--dir", str(tmp_path / "full"), *_ports(Ports.free())]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    )
    assert (result.returncode, f"cannot write to {tmp_path}/full: File too large" in result.stderr) == (2, True)
    assert {each.state for each in Stack(tmp_path / "full").status()} == {"stopped"}


def test_every_address_of_the_shipped_files_is_replaced(tmp_path: Path) -> None:
    defaults, chosen = Ports().as_dict(), Ports.from_base(30000)
    layout = services.Layout(tmp_path, chosen)
    for folder in layout.folders():
        folder.mkdir(exist_ok=True)
    services.render(files.directory(), layout)
    addresses = {port: name for name, port in defaults.items()}
    text = "".join(path.read_text() for path in layout.config.glob("*.yaml"))
    assert [port for port in addresses if f"127.0.0.1:{port}" in text] == []
    assert f"127.0.0.1:{chosen.alertmanager}" in (layout.config / "prometheus.yaml").read_text()
    assert f"127.0.0.1:{chosen.audit}/alerts" in (layout.config / "alertmanager.yaml").read_text()


def test_the_application_s_telemetry_variables_are_not_for_the_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4317")
    monkeypatch.setenv("SPANLEDGER_SAMPLING_PERCENT", "100")
    layout = services.Layout(tmp_path, replace(Ports(), agent_grpc=5000))
    jaeger, audit = (services.environment(services.SERVICES[name], layout) for name in ("jaeger", "audit"))
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in jaeger
    assert audit["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:5000"
    assert jaeger["SPANLEDGER_SAMPLING_PERCENT"] == "100"
