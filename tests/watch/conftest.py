"""Studies to look at, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plays import AsciiStream, Play, new_spec

from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.store.paths import StudyPaths


@pytest.fixture
def spec() -> StudySpec:
    return new_spec()


@pytest.fixture
def finished(spec: StudySpec) -> StudyMachine:
    return Play(spec).to_the_end(fail_each=7).machine


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path / "studies" / "toy")


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture
def ascii_stream() -> Iterator[AsciiStream]:
    with AsciiStream() as stream:
        yield stream
