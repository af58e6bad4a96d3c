"""Of a process that died: what was lost for nothing, and what its own memory has killed."""

import pytest
import ray.exceptions

from sweep.executors.deaths import death
from sweep.machine import oom_kills

CRASH = """The actor died unexpectedly before finishing this task.
\tclass_name: warm
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was \
killed by the OOM killer due to high memory usage, (2) ray stop --force is called."""
NODE = "The actor died because its node has died. Node Id: 12\n\tthe actor's node was terminated unexpectedly"
MONITOR = "Task was killed due to the node running low on memory.\nMemory on the node was 7 GB / 7 GB (0.95)."


@pytest.mark.parametrize(
    ("error", "oom_killed", "outcome", "cause", "words"),
    [
        (ray.exceptions.RayActorError(), False, "lost", None, "its process died"),
        (Exception(CRASH), False, "lost", None, "its process died"),
        (Exception(CRASH), True, "failed", "host_memory", "SIGKILL"),
        (Exception(NODE), False, "lost", None, "its node died"),
        (Exception(NODE), True, "lost", None, "its node died"),
        (ray.exceptions.OutOfMemoryError(MONITOR), False, "failed", "host_memory", "Ray's memory monitor"),
        (Exception(f"The actor is dead: {MONITOR}"), False, "failed", "host_memory", "Ray's memory monitor"),
        (TimeoutError("it was told to end and went on"), True, "lost", None, "it was told to end and went on"),
    ],
)
def test_memory_costs_a_failure_and_all_else_is_a_loss(error, oom_killed, outcome, cause, words):
    end = death(error, oom_killed=oom_killed)
    assert (end.outcome, end.cause) == (outcome, cause)
    assert words in end.error
    assert "\n" not in end.error, "one line for tables and logs"
    assert cause is None or "Lower batch_size" in end.error


def test_kernels_count_of_kills_is_read_from_the_container_first(tmp_path):
    cgroup, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    machine.write_text("nr_free_pages 12\noom_kill 7\n")
    assert oom_kills(cgroup, machine) == 7
    cgroup.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(cgroup, machine) == 2
    assert oom_kills(tmp_path / "none", tmp_path / "none") is None
