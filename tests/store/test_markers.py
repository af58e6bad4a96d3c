"""A file in the studies' folder shows who has that folder."""

from sweep.store import markers
from sweep.store.markers import marked, sees


def test_the_marker_is_there_while_others_look_and_gone_afterwards(tmp_path):
    with marked(tmp_path / "studies" / "deep") as marker:
        assert marker.parent == tmp_path, "a folder that isn't there yet isn't made"
        assert sees(marker)
    assert list(tmp_path.iterdir()) == []


def test_no_name_is_used_twice(tmp_path):
    with marked(tmp_path) as first, marked(tmp_path) as second:
        assert first != second


def test_a_file_that_is_shown_late_is_seen(tmp_path, monkeypatch):
    marker = tmp_path / "late"
    monkeypatch.setattr(markers.time, "sleep", lambda _: marker.touch())
    assert sees(marker)


def test_a_file_that_never_comes_is_given_up(tmp_path):
    assert not sees(tmp_path / "never", patience_s=0)


def test_where_no_file_can_be_made_nothing_is_told(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(markers.Path, "touch", refuse)
    with marked(tmp_path) as marker:
        assert marker is None
