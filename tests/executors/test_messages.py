"""How an attempt's end is told: what a training function raised, and what it isn't to blame for."""

import pytest

from sweep.errors import TrainingError
from sweep.executors.messages import failure
from sweep.store.buckets import BucketError


def raised(error, cause=None):
    error.__cause__ = cause
    return failure(error)


def test_what_a_training_function_raised_is_its_failure():
    message = raised(ValueError("wrong"))
    assert (message.outcome, message.fit) == ("failed", False)
    assert "ValueError: wrong" in message.error


@pytest.mark.parametrize("cause", [False, True])
def test_an_attempt_that_cannot_reach_its_studys_bucket_is_lost(cause):
    """The driver may reach it again, or still: then no retry of the trial is used up."""
    cut = BucketError("the line is cut")
    message = raised(TrainingError("its checkpoint can't be written"), cut) if cause else raised(cut)
    assert message.outcome == "lost"
    assert "the line is cut" in message.error


@pytest.mark.timeout(30)
def test_error_that_is_its_own_cause_is_told_like_any_other():
    """`raise error from error`: Python lets it."""
    error = ValueError("wrong")
    message = raised(error, error)
    assert message.outcome == "failed"
    assert "ValueError: wrong" in message.error
