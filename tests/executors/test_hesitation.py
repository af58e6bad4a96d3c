"""Where workers die before they have begun, the next one is tried after a while, and then after a longer one."""

from sweep.executors.hesitation import FIRST_S, MOST_S, Hesitation


def waits(hesitation, deaths):
    """How long it waits after each of so many deaths, one as soon as the wait for the one before is over."""
    now, found = 100.0, []
    for _ in range(deaths):
        hesitation.died(now)
        before = now
        while not hesitation.over(now):
            now += 0.125
        found.append(now - before)
    return found


def test_each_wait_is_twice_the_one_before_up_to_the_longest():
    assert waits(Hesitation(), 6) == [FIRST_S, 1, 2, 4, MOST_S, MOST_S]


def test_workers_that_die_together_count_as_one():
    hesitation = Hesitation()
    for _ in range(9):
        hesitation.died(100.0)
    assert hesitation.over(100.0 + FIRST_S)


def test_one_that_begins_ends_it():
    hesitation = Hesitation()
    waits(hesitation, 4)
    hesitation.died(200.0)
    hesitation.began()
    assert hesitation.over(200.0)
    assert waits(hesitation, 1) == [FIRST_S]
