"""A study whose workers, nodes and driver are killed at random moments: the benchmark that does it, a few times."""

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parent.parent.parent / "benchmarks" / "kills.py"


@pytest.mark.ray
@pytest.mark.slow
def test_random_kills_lose_nothing_that_was_finished_and_change_no_value():
    done = subprocess.run(
        [sys.executable, KILLS, "--kills", "4", "--seed", "1", "--patient"],
        check=False,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none twice, all values as without kills" in done.stdout
