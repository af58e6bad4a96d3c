"""An attempt's log says how it ended, also when its process died without a word."""

import pytest

from sweep.store.attempt_log import ensure


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        (None, ["lost: its node died"]),
        ("10:00Z epoch 1: loss 1\n", ["10:00Z epoch 1: loss 1", "lost: its node died"]),
        ("10:00Z epoch 1: lo", ["10:00Z epoch 1: lo", "lost: its node died"]),
        ("10:00Z its node died\n", ["10:00Z its node died"]),
    ],
)
def test_reason_is_appended_once_and_on_a_line_of_its_own(tmp_path, before, lines):
    path = tmp_path / "trial" / "attempt-1.log"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    ensure(path, "lost", "what came before it\nits node died\n")
    found = path.read_text().splitlines()
    assert len(found) == len(lines)
    assert all(line.endswith(wanted) for line, wanted in zip(found, lines, strict=True))
