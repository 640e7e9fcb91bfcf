"""An application whose clock is a minute ahead."""

from __future__ import annotations

import runpy
import sys
import time

_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + 60.0
time.time_ns = lambda: _time_ns() + 60 * 10**9
for module in list(sys.modules.values()):  # those that imported the functions by name
    for name, function in (("time_ns", time.time_ns), ("_time_ns", time.time_ns)):
        if getattr(module, name, None) is _time_ns and module not in (time, sys.modules["__main__"]):
            setattr(module, name, function)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
