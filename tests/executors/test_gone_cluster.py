"""A cluster that goes away under a study."""

import pytest
import ray

from sweep.core.spec import Resources
from sweep.errors import WorkError
from sweep.executors.warm_executor import WarmExecutor


def test_cluster_that_takes_no_more_work_is_told_in_words(monkeypatch):
    class Director:
        finished = False

    def cancelled(*_):
        raise ray.exceptions.RaySystemError("Actor creation cancelled.")

    executor = WarmExecutor(lambda *_: "returned", lambda: None, Resources(), study="s")
    monkeypatch.setattr(executor, "_end_unwanted", cancelled)
    with pytest.raises(WorkError, match=r"the Ray cluster is gone, or takes no more work: .*Actor creation cancelled"):
        executor.run(Director())
