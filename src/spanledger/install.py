"""The one place where collaborators meet: builds an installation, patches libraries as they are imported, and undoes it all."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace

from spanledger import __version__, budget_events, plugins, process_end, protection, settings, workers
from spanledger import adapters as known_adapters
from spanledger.budgets import rule as budget_rules
from spanledger.budgets.gate import Gate
from spanledger.budgets.spool import Spool
from spanledger.engine import drive, patching, runs
from spanledger.engine.call import library_in_call
from spanledger.engine.guard import Guard, log
from spanledger.engine.reaper import Reaper
from spanledger.engine.runtime import Runtime, activate, active
from spanledger.errors import ConfigurationError
from spanledger.ledger.open import open_ledger, understood, whole
from spanledger.libraries import Library
from spanledger.pricing import catalogue
from spanledger.pricing.book import PriceBook
from spanledger.telemetry import observed, recon, semconv
from spanledger.telemetry.events import Events
from spanledger.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from spanledger.engine.adapter import Adapter, Target
    from spanledger.settings import Settings


@dataclass
class Installation:
    """Everything that ``instrument`` put in place."""

    runtime: Runtime
    spool: Spool
    libraries: list[Library]
    providers: tuple[Any, Any, Any]
    """Of spans, metrics and logs; None for the global one."""
    patches: list[patching.Patch] = field(default_factory=list)
    problems: list[ConfigurationError] = field(default_factory=list)
    plugins: list[tuple[str, str]] = field(default_factory=list)
    """Modules and names of the functions to record as plugins."""


_lock = threading.RLock()
_installation: Installation | None = None


def instrument(
    config: Settings | None = None,
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    adapters: Sequence[Adapter] = (),
) -> None:
    """Turns Spanledger on for this process; a second call does nothing. Libraries are patched when they are imported.

    Args:
        config: settings; read from the environment if not given.
        tracer_provider, meter_provider, logger_provider: the global ones if not given.
        adapters: adapters of client libraries that Spanledger does not know itself.

    Never raises; what is wrong with the configuration is logged, and shown by ``spanledger status``.
    """
    with _lock:
        config = config or settings.load()
        if _installation is not None or not config.enabled:
            return
        guard = Guard(debug=config.debug)
        try:
            _install(config, guard, (tracer_provider, meter_provider, logger_provider), adapters)
        except Exception as error:
            log.warning("spanledger could not be installed: %s; calls are not recorded and budgets not enforced", type(error).__name__)
            _uninstall()
            if config.debug:
                raise


def _install(config: Settings, guard: Guard, providers: tuple[Any, Any, Any], adapters: Sequence[Adapter]) -> None:
    global _installation  # noqa: PLW0603  # the process has one installation
    protected = protection.protect(config, guard, providers, _provider_set)
    protection.duplicates.inside_call = lambda context: library_in_call(context) is not None
    if not protected and config.capture != "NO_CONTENT":
        log.warning(_NO_CONTENT)
        config = dataclasses.replace(config, capture="NO_CONTENT")
    _installation = _build(config, guard, *providers)
    _installation.libraries += [Library(adapter.name, adapter) for adapter in adapters]
    activate(_installation.runtime)
    _patch_adapters(_installation)
    _patch_plugins(_installation)
    atexit.register(_at_exit)
    workers.carry_scopes(_installation.patches.append)
    process_end.of_workers(_let_everything_out)
    _installation.patches.append(process_end.by_own_signal(_let_everything_out))


_NO_CONTENT = "content is not recorded: what these providers export cannot be redacted"


def _provider_set(_provider: Any, led: bool) -> None:
    """A global provider is set after us. ``led``: what it exports is redacted."""
    runtime = active()
    if runtime is None:
        return
    if _installation is not None and (service := _service_name(_installation.providers)) is not None:
        runtime.settings = dataclasses.replace(runtime.settings, service=service)
    if not led and (runtime.capture_spans or runtime.capture_events):
        log.warning(_NO_CONTENT)
        runtime.capture_spans = runtime.capture_events = False


def uninstrument() -> None:
    """Puts back exactly what was there, settles what is open and closes the ledger. Wrappers that somebody kept are inert from now on."""
    with _lock:
        if _installation is not None:
            patching.forget_wanted()
        _uninstall()
        protection.release()


def _uninstall() -> None:
    global _installation
    installation, _installation = _installation, None
    if installation is None:
        return
    for patch in reversed(installation.patches):
        if not patch.undo():
            log.warning("%s was wrapped by somebody else since; our wrapper stays in place and does nothing", patch.name)
    _shut_down(installation, "uninstrumented")
    installation.runtime.guard.run("metrics", installation.runtime.metrics.write_notes)  # which a later installation does not have
    activate(None)
    atexit.unregister(_at_exit)


def _build(config: Settings, guard: Guard, tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> Installation:
    problems = list(config.problems)
    providers = (tracer_provider, meter_provider, logger_provider)
    config = dataclasses.replace(config, service=_service_name(providers) or config.service)
    rules, broken_rules = budget_rules.parse_all(config.budgets)
    prices, broken_prices = plugins.parse_prices("SPANLEDGER_PLUGIN_PRICES", config.plugin_prices)
    plugins.configure(prices, config.plugin_tokens)
    problems += [*broken_rules, *broken_prices]
    url, wrong_url = understood(config.ledger_url, config.default_ledger_url)
    unusable: list[str] = []
    ledger = open_ledger(url, on_problem=unusable.append)
    for why in unusable:
        log.warning("%s", why)
    if wrong_url is not None:
        problems.append(wrong_url)
        log.warning("the books are kept in the default ledger, %s", url)
    refuse_all = _refuse_all(config, broken_rules, unusable or wrong_url)
    book = PriceBook(config.prices, config.prices_ttl)
    names = semconv.generation(config.semconv)
    told = observed.of(meter_provider)
    reaper = Reaper()
    ended = told.kept("execution", recon.Sums)
    runs.restart(ended)
    books = recon.LedgerSums(ledger)
    instruments = Metrics(
        observed=told, names=names, balances=lambda: guard.run("balances", ledger.balances, time.time()) or (), defer=reaper.put,
        sources={"execution": lambda: runs.values(ended), "ledger": books.values}, refresh=lambda: guard.run("sums", books.refresh),
    )  # fmt: skip
    guard.count = lambda place: instruments.errors.add(((semconv.ERROR_PLACE, place),))
    events = Events(_logs.get_logger("spanledger", __version__, logger_provider=logger_provider), guard.caught)
    spool = Spool(ledger, config.state_dir, ledger_url=whole(url), lease_seconds=config.lease_seconds)
    gate = Gate(
        rules, ledger, book, timezone=config.timezone, lease_seconds=config.lease_seconds, assumed_output=config.assumed_output,
        on_ledger_error=config.on_ledger_error, on_unpriced=config.on_unpriced, refuse_all=refuse_all,
        notify=lambda notice: guard.run("notify", budget_events.tell, notice), spool=spool,
    )  # fmt: skip
    runtime = Runtime(
        config, ledger, gate, book, trace.get_tracer("spanledger", __version__, tracer_provider), instruments, events, guard, reaper, names,
        capture_spans=config.capture in ("SPAN_ONLY", "SPAN_AND_EVENT"), capture_events=config.capture in ("EVENT_ONLY", "SPAN_AND_EVENT"),
    )  # fmt: skip
    runtime.reaper.start()
    for problem in [*problems, *book.problems]:
        log.warning("%s%s", problem, f"; {budget_rules.without(strict=config.strict)}" if problem in broken_rules else "")
    return Installation(runtime, spool, [Library(name) for name in known_adapters.KNOWN], providers, problems=problems)


def _refuse_all(config: Settings, broken_rules: Sequence[ConfigurationError], wrong_with_ledger: object) -> str:
    """Why no call may be made, where somebody asked that none be made without budgets that hold."""
    if config.strict and broken_rules:
        return f"{broken_rules[0].where} cannot be understood and SPANLEDGER_STRICT is set"
    if config.on_ledger_error == "block" and wrong_with_ledger:
        return "SPANLEDGER_LEDGER cannot be used and SPANLEDGER_ON_LEDGER_ERROR is block"
    return ""


def _service_name(providers: tuple[Any, Any, Any]) -> str | None:
    """The name that spans of this process carry, or else its metrics, so that the books say the same. It need not be the environment's."""
    spans, measurements, _ = _providers(providers)
    for resource in (getattr(spans, "resource", None), getattr(getattr(measurements, "_sdk_config", None), "resource", None)):
        if resource is not None and "service.name" in resource.attributes:
            return str(resource.attributes["service.name"])
    return None


def _patch_adapters(installation: Installation) -> None:
    for library in installation.libraries:
        patching.when_imported(library.name, _loader(installation, library))


def _loader(installation: Installation, library: Library) -> Any:
    """Loads the adapter when its library is imported, and hooks the modules that define what is patched."""

    def load(_module: ModuleType) -> None:
        if installation is not _installation:
            return
        catalogue.import_package()
        adapter = library.load()
        protection.duplicates.know(adapter.native_scopes)
        for module in dict.fromkeys(target.module for target in adapter.targets):
            patching.when_imported(module, _patcher(installation, library, [t for t in adapter.targets if t.module == module]))

    return lambda module: installation.runtime.guard.run("adapter", load, module)


def _patcher(installation: Installation, library: Library, targets: list[Target]) -> Any:
    def action(module: ModuleType) -> None:
        installation.runtime.guard.run("patch", apply, module)

    def apply(module: ModuleType) -> None:
        if installation is not _installation:
            return
        for target in targets:
            _patch(installation, library, module, target)
        _warm_prices(installation)

    return action


def _patch(installation: Installation, library: Library, module: ModuleType, target: Target) -> None:
    place = f"{target.module}:{target.name}"
    try:
        patch = patching.patch(module, target.name, lambda original: drive.wrap(original, library.name, target))
    except AttributeError:
        library.absent.append(place)
    else:
        installation.patches.append(patch)
        library.patched.append(place)


_warmed = threading.Event()


def _warm_prices(installation: Installation) -> None:
    """Loads the prices (half a second) beside the application's own start, not in its first call."""
    if not _warmed.is_set():
        _warmed.set()
        threading.Thread(
            target=installation.runtime.guard.run, args=("prices", installation.runtime.book.warm), name="spanledger-prices", daemon=True
        ).start()  # fmt: skip


def _patch_plugins(installation: Installation) -> None:
    installation.plugins, problems = plugins.parse_targets(_PLUGINS, installation.runtime.settings.plugins)
    for problem in problems:
        installation.problems.append(problem)
        log.warning("%s", problem)
    for module, name in installation.plugins:
        patching.when_imported(module, _plugin_patcher(installation, name))


_PLUGINS = "SPANLEDGER_PLUGINS"


def _tell_unfound(targets: Sequence[tuple[str, str]]) -> None:
    """Told only at the end: at the start, the folder of the script that is run need not be among those that modules are found in."""
    for problem in plugins.missing(_PLUGINS, targets):
        log.warning("%s", problem)
    unused = [f"{module}:{name}" for module, name in targets if module not in sys.modules and plugins.is_there(module)]
    if unused:
        log.info("%s: this program never imported the modules of %s", _PLUGINS, ", ".join(unused))


def _plugin_patcher(installation: Installation, name: str) -> Any:
    def action(module: ModuleType) -> None:
        installation.runtime.guard.run("patch", apply, module)

    def apply(module: ModuleType) -> None:
        if installation is not _installation:
            return
        for dotted in plugins.public_functions(module) if name == "*" else [name]:
            try:
                installation.patches.append(patching.patch(module, dotted, functools.partial(plugins.wrap, name=dotted)))
            except AttributeError:
                problem = ConfigurationError(_PLUGINS, f"module {module.__name__} has no {dotted}", "the name of a function in it")
                installation.problems.append(problem)
                log.warning("%s", problem)

    return action


def _at_exit() -> None:
    if _installation is not None:
        _installation.runtime.guard.run("plugins", _tell_unfound, _installation.plugins)
        _shut_down(_installation, "exit")


def _let_everything_out() -> None:
    """Lets out all that waits in this process. The ledger stays open, and so do calls: a worker's threads may go on for a moment."""
    installation = _installation
    if installation is None or not installation.runtime.reaper.used:  # a forked worker that had nothing to record
        return
    guard = installation.runtime.guard
    guard.run("reaper", installation.runtime.reaper.drain)
    guard.run("spool", installation.spool.close, 5.0)
    flushes = [getattr(provider, "force_flush", None) for provider in _providers(installation.providers)]
    each = [functools.partial(guard.run, "flush", flush) for flush in flushes if flush is not None]
    guard.run("flush", process_end.together, each, _FLUSHED)


_FLUSHED = 3.0
"""Seconds that an end waits for exporters. What a collector that answers needs is a fraction; what the SDK's own flushes take where none
does is ten times as much, and orchestrators kill after ten."""


def _providers(given: tuple[Any, Any, Any]) -> list[Any]:
    """Of spans, metrics and logs: those in force."""
    global_ones = (trace.get_tracer_provider, metrics.get_meter_provider, _logs.get_logger_provider)
    return [global_one() if provider is None else provider for provider, global_one in zip(given, global_ones, strict=True)]


def _shut_down(installation: Installation, outcome: str) -> None:
    """Ends open calls, settles everything, closes the ledger; the providers are shut down after us and still export the spans."""
    runtime = installation.runtime
    for call in list(runtime.open_calls.values()):
        call.end(outcome=outcome)
    runtime.guard.run("reaper", runtime.reaper.drain)
    runtime.guard.run("reaper", runtime.reaper.stop)
    runtime.guard.run("spool", installation.spool.close, 5.0)
    runtime.guard.run("ledger", runtime.ledger.close)


def flush(timeout: float = 5.0) -> bool:
    """Waits until abandoned calls are ended and queued settlements are written; False if that took longer than ``timeout`` seconds."""
    installation = _installation
    return installation is None or (installation.runtime.reaper.drain(timeout) and installation.spool.flush(timeout))


def status() -> dict[str, Any]:
    """What is patched and what is wrong, for ``spanledger status``: libraries, plugins that can be found, ledger, prices, problems."""
    installation = _installation
    if installation is None:
        return {"installed": False, "libraries": [], "plugins": [], "problems": []}
    missing = plugins.missing(_PLUGINS, installation.plugins)
    return {
        "installed": True,
        "libraries": [library.status() for library in installation.libraries],
        "plugins": [f"{module}:{name}" for module, name in installation.plugins if plugins.is_there(module)],
        "problems": [str(problem) for problem in [*installation.problems, *missing]],
        "prices": installation.runtime.book.status(),
        "ledger": type(installation.runtime.ledger).__name__,
    }


def import_libraries() -> None:
    """Imports all supported client libraries that are installed, with the modules that are patched; for ``spanledger status``."""
    for library in _installation.libraries if _installation is not None else ():
        library.import_targets()
