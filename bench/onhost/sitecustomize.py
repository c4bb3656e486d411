"""Notes when each program that a Python process starts begins and ends, for run.py --work overhead.

Python imports this by itself where it is on PYTHONPATH. One line per program goes to the file that BENCH_TRACE names.
"""

import os
import subprocess
import threading
import time
from typing import Any

_TRACE = os.environ.get("BENCH_TRACE")


class _Noted(subprocess.Popen):  # type: ignore[type-arg]
    def __init__(self, args: Any, *more: Any, **named: Any) -> None:
        self._begin = time.time()
        self._thread = threading.get_ident()
        self._noted = False
        super().__init__(args, *more, **named)

    def poll(self) -> Any:
        return self._note(super().poll())

    def wait(self, timeout: Any = None) -> Any:
        return self._note(super().wait(timeout))

    def _note(self, rc: Any) -> Any:
        if rc is not None and not self._noted and _TRACE:
            self._noted = True
            program = self.args if isinstance(self.args, str) else os.fspath(self.args[0])
            line = f"{self._begin:.6f} {time.time():.6f} {os.getpid()}.{self._thread} {os.path.basename(program)}\n"
            with open(_TRACE, "a", encoding="utf-8") as trace:
                trace.write(line)
        return rc


if _TRACE:
    subprocess.Popen = _Noted  # type: ignore[misc]
