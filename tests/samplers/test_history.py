"""What samplers that go by generations know of the trials."""

from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from sweep.core.objectives import Objectives, Result
from sweep.core.spec import Metric
from sweep.samplers.history import WHOLE, History

ONE = Objectives([Metric(name="a", goal="maximize"), Metric(name="m", max=5.0)])
TWO = Objectives([Metric(name="a", goal="minimize"), Metric(name="b", goal="minimize")])


def trial(number):
    made = create_trial(state=TrialState.RUNNING)
    made.number = number
    return made


def test_ranks_go_by_bounds_then_progress_then_value():
    history = History(ONE)
    for number, (t, value, excess) in enumerate(
        [(WHOLE, 0.5, -1), (3, 0.9, -1), (WHOLE, 0.7, -1), (9, 0.1, -1), (WHOLE, 0.9, 2)]
    ):
        history.add(trial(number), t, Result((value,), (excess,)))
    assert history.best(5) == [2, 0, 3, 1, 4]


moves = st.lists(
    st.tuples(
        st.integers(0, 12), st.sampled_from([1.0, 3.0, WHOLE]), st.integers(0, 4), st.integers(0, 4), st.booleans()
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(moves)
def test_history_and_front_follow_from_the_trials_as_they_stand(steps):
    """Whatever was added, changed and taken away before."""
    history, now = History(TWO), {}
    for number, t, a, b, gone in steps:
        if gone:
            history.remove(number)
            now.pop(number, None)
        else:
            history.add(trial(number), t, Result((float(a), float(b))))
            now[number] = (t, Result((float(a), float(b))))
        history.best(3)
    fresh = History(TWO)
    for number, (t, result) in sorted(now.items()):
        fresh.add(trial(number), t, result)
    assert [one.number for one in history.all()] == sorted(now)
    assert [one.rank for one in history.all()] == [one.rank for one in fresh.all()]
    assert sorted(history.best(99)) == sorted(fresh.best(99))
    ranks = {one.number: one.rank for one in history.all()}
    for number, rank in ranks.items():
        beaten = any(
            other != rank and all(x <= y for x, y in zip(other, rank, strict=True)) for other in ranks.values()
        )
        assert (number in history.best(99)) != beaten
