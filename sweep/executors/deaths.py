"""What became of an attempt whose process said nothing more."""

from __future__ import annotations

import ray

from sweep.executors.messages import Message

_SHORT_OF_MEMORY = "The machine ran out of memory. Lower batch_size or resources.max_concurrent, or load less data."


def death(error: BaseException, *, oom_killed: bool = False) -> Message:
    """The end of an attempt whose process died, or can't be reached any more.

    It is lost, which costs no retry, unless it was killed for the memory that it took: that would happen again.

    Args:
        error: what Ray says of the call.
        oom_killed: whether the kernel has killed a process there for want of memory while the attempt ran.
    """
    text = str(error)
    # Ray's memory monitor. Of every other death, too, Ray says that the kernel's OOM killer may be the cause.
    if isinstance(error, ray.exceptions.OutOfMemoryError) or "running low on memory" in text:
        message = f"Ray's memory monitor killed its process. {_SHORT_OF_MEMORY}"
        return Message("end", outcome="failed", error=message, cause="host_memory", fit=False)
    if isinstance(error, TimeoutError):
        return Message("end", outcome="lost", error=text, fit=False)
    if "node has died" in text or "node was terminated" in text:
        return Message("end", outcome="lost", error="its node died", fit=False)
    if oom_killed:
        message = f"the kernel killed its process (SIGKILL). {_SHORT_OF_MEMORY}"
        return Message("end", outcome="failed", error=message, cause="host_memory", fit=False)
    detail = next((line.partition(":")[2].strip() for line in text.splitlines() if "exit detail:" in line), "")
    why = f" ({detail.split(' Some common')[0].rstrip('.')})" if detail else ""
    return Message("end", outcome="lost", error=f"its process died{why}; it was killed or crashed", fit=False)
