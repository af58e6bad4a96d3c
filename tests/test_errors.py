"""What is told of errors that others raised."""

import pytest

from sweep.errors import first_line


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("\n  no such file\nTraceback"), "no such file"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("\n"), "ValueError"),
    ],
)
def test_the_first_line_of_an_error_or_its_kind_where_it_says_nothing(error, told):
    assert first_line(error) == told
