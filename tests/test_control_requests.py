"""Requests to a study on which nobody works: each is taken up, and once."""

import pytest
from small_spec import small_spec

from sweep.controlling import take_up
from sweep.core import events as ev
from sweep.store import control, holding, study_folder
from sweep.store.paths import study_paths


@pytest.fixture
def paths(tmp_path):
    study_folder.create(tmp_path, small_spec(), base_dir=tmp_path, now=1000.0, version="1")
    return study_paths(tmp_path, "s")


def test_request_that_two_drivers_have_brought_from_a_bucket_is_taken_up_once(paths):
    """The first died before it had an answer; the next one finds it in the bucket still, and here."""
    request = ev.Request(id="1", time=1001.0, verb="extend", trials=5)
    control.append(paths.control, request)
    control.append(paths.control, request)
    with holding.held(paths) as hold:
        take_up(hold)
        take_up(hold)
    machine = study_folder.read(paths).machine
    assert machine.limits.trials == 10
    assert paths.events.read_text().count("controlled") == 1
