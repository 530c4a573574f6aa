import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from stages.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "keep" else False
def touch():
    for _ in range(20):
        np.ones(48 << 20, np.uint8)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str, **environment: str) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    told, faults = done.stdout.split()
    return told == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_blocks_are_used_again() -> None:
    # 48 MiB, above what glibc learns to keep by itself: 20 blocks, each at least 24 pages of 2 MiB.
    as_it_comes, kept = _faults("leave"), _faults("keep")
    assert as_it_comes[1] > 400
    assert kept[0]
    assert kept[1] < as_it_comes[1] / 10


def test_settings_of_the_user_are_left_alone() -> None:
    assert _faults("keep", MALLOC_TRIM_THRESHOLD_="100000")[0] is False
