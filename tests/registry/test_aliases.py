"""An alias moves, and its history stays."""

from __future__ import annotations

import pytest

from sweep.errors import RegistryError, VerificationError
from sweep.registry import Aliases, ModelFolder


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "vit" / f"v{number}").mkdir(parents=True)
    return ModelFolder(tmp_path / "vit")


@pytest.fixture
def aliases(folder):
    return Aliases(folder)


def test_history_says_who_pointed_where_and_what_was_before(aliases):
    aliases.point("champion", 1, "ann")
    aliases.point("candidate", 2, "ann")
    aliases.point("champion", 3, "bob")
    assert aliases.current() == {"champion": "v3", "candidate": "v2"}
    moves = aliases.history("champion")
    assert [(move.version, move.by, move.was) for move in moves] == [("v1", "ann", None), ("v3", "bob", "v1")]
    assert moves[0].time <= moves[1].time
    assert len(aliases.history()) == 3


def test_moving_only_appends(aliases, folder):
    aliases.point("champion", 1, "ann")
    before = folder.aliases.read_bytes()
    aliases.point("champion", 2, "ann")
    assert folder.aliases.read_bytes().startswith(before)


def test_pointing_where_it_points_changes_nothing(aliases):
    first = aliases.point("champion", 1, "ann")
    assert aliases.point("champion", 1, "bob") == first
    assert len(aliases.history()) == 1


def test_rollback_repeated_goes_further_back(aliases):
    for number in (1, 2, 3):
        aliases.point("champion", number, "ann")
    assert aliases.rollback("champion", "bob").version == "v2"
    assert aliases.rollback("champion", "bob").version == "v1"
    with pytest.raises(RegistryError, match="vit@champion has no earlier version to go back to"):
        aliases.rollback("champion", "bob")
    assert len(aliases.history()) == 5


def test_rollback_passes_over_a_version_that_is_gone(aliases, folder):
    for number in (1, 2, 3):
        aliases.point("champion", number, "ann")
    (folder.root / "v2").rmdir()
    assert aliases.rollback("champion", "bob").version == "v1"


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("latest", "'latest' is always the highest version"),
        ("v3", "'v3' is a version's name; an alias is a word"),
        ("v0", "'v0' is a version's name"),
        ("Champion", "'Champion' can't be an alias. Use small letters"),
        ("3rd", "can't be an alias"),
        ("", "can't be an alias"),
        ("a" * 33, "can't be an alias"),
        ("champion\n", "can't be an alias"),
    ],
)
def test_name_that_can_not_be(aliases, folder, alias, message):
    with pytest.raises(RegistryError, match=message):
        aliases.point(alias, 1, "ann")
    assert not folder.aliases.exists()


def test_version_that_is_not_there(aliases):
    with pytest.raises(RegistryError, match="vit has no version v9; champion was not moved"):
        aliases.point("champion", 9, "ann")


def test_torn_last_line_is_dropped(aliases, folder):
    aliases.point("champion", 1, "ann")
    whole = folder.aliases.read_bytes()
    folder.aliases.write_bytes(whole + whole[:20])
    assert aliases.current() == {"champion": "v1"}
    assert aliases.problems() == ["the last line is torn; the next move of an alias drops it"]
    aliases.point("champion", 2, "ann")
    assert aliases.current() == {"champion": "v2"}
    assert aliases.problems() == []


def test_changed_line_is_not_believed(aliases, folder):
    aliases.point("champion", 1, "ann")
    aliases.point("champion", 2, "ann")
    folder.aliases.write_bytes(folder.aliases.read_bytes().replace(b'"version":"v1"', b'"version":"v3"'))
    with pytest.raises(
        VerificationError, match=r"line 1 was changed since it was written.\n .*sweep models verify vit"
    ):
        aliases.current()
    assert aliases.problems() == ["line 1 was changed since it was written"]


def test_alias_of_a_version_that_is_gone_is_a_problem(aliases, folder):
    aliases.point("champion", 2, "ann")
    (folder.root / "v2").rmdir()
    assert aliases.problems() == ["champion points to v2, which doesn't exist"]
