"""Promotes from many processes at once, or is killed in the middle; run by test_promotion.py.

python crowd.py together|killed REGISTRY..., with a pickled list of sources on stdin.
torch is imported once, before the forks.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch  # noqa: F401
import torch  # noqa: F401

from sweep.registry import Source, layout, promote, promotion


def fork(work: Callable[[], object]) -> int:
    # A lock that another thread holds at the fork would stay held in the child for ever.
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def together(registry: Path, sources: list[Source]) -> None:
    """All wait for one starting signal: the end of a pipe."""
    gate, opened = os.pipe()

    def work(source: Source) -> None:
        os.close(opened)
        os.read(gate, 1)
        promote(registry, "vit", source, alias="champion")

    pids = [fork(lambda source=source: work(source)) for source in sources]  # type: ignore[misc]
    os.close(opened)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    assert statuses == [0] * len(sources), statuses


def killed(registry: Path, source: Source, module: Any, name: str, *, after: bool) -> None:
    """Kill -9 a promotion that stands before, or after, a call of the named function."""
    reached, tell = os.pipe()
    real = getattr(module, name)

    def stand(*arguments: Any) -> None:
        if after:
            real(*arguments)
        os.write(tell, b"!")
        signal.pause()

    setattr(module, name, stand)
    pid = fork(lambda: promote(registry, "vit", source, alias="champion"))
    setattr(module, name, real)
    os.close(tell)
    assert os.read(reached, 1) == b"!", "the promotion never came there"
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def main() -> None:
    mode, folder = sys.argv[1], Path(sys.argv[2])
    sources = pickle.load(sys.stdin.buffer)
    if mode == "together":
        together(folder, sources)
        return
    killed(folder / "copying", sources[0], promotion, "extract_weights", after=False)
    killed(folder / "renaming", sources[0], layout, "publish_folder", after=False)
    killed(folder / "renamed", sources[0], layout, "publish_folder", after=True)
    killed(folder / "pointing", sources[0], layout, "append_durably", after=False)


if __name__ == "__main__":
    main()
