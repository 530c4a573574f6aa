"""A worker never outlives the benchmark that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

_SCRIPT = """
import multiprocessing, threading, time
from mtl.benchmark.workers import _end_with_the_parent

def work():
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    print(multiprocessing.current_process().pid, flush=True)
    time.sleep(100)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(100)
"""


def test_a_worker_ends_when_its_benchmark_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        assert worker.is_running()
        parent.kill()
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
