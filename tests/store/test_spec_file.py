"""Search files on disk: what is said when there is none, or none that can be read."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.errors import InputError, SpecError
from sweep.store.spec_file import read_spec, read_specs

TEXT = "entrypoint: a.b:train\nmetric: {name: val_loss, goal: minimize}\nparameters: {n: {min: 1, max: 3}}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vit.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "resnet.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    return tmp_path


def test_a_file_is_read_and_named_after_itself(folder):
    assert read_spec(folder / "vit.yaml", ["search.seed=3"]).search.seed == 3
    assert [spec.name for spec in read_specs([folder / "vit.yaml", folder / "resnet.yaml"])] == ["vit", "resnet"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vitt.yaml", "vitt.yaml: there is no such file. Did you mean .*vit.yaml?"),
        ("zzzzz", "zzzzz: there is no such file. .* has resnet.yaml, vit.yaml."),
        ("no/vit.yaml", "there is no such file. Nor is there a folder .*no."),
        ("vit.yaml/x", "there is no such file."),
        (".", "is a folder. Name a file in it. .* has resnet.yaml, vit.yaml."),
        ("a\0b", "can't be read: "),
    ],
)
def test_a_file_that_is_not_there(folder, name, message):
    with pytest.raises(InputError, match=message):
        read_spec(folder / name)


def test_bytes_that_are_no_utf8_are_told_with_their_place(folder):
    (folder / "vit.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SpecError, match=re.escape("vit.yaml:2:4: the byte 0xff is no UTF-8. Save the file as UTF-8.")):
        read_spec(folder / "vit.yaml")


def test_several_files_tell_all_their_problems(folder):
    (folder / "vit.yaml").write_text("foo: 1\n" + TEXT + "bar: 1\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_specs([folder / "vit.yaml", folder / "gone.yaml", folder / "resnet.yaml"])
    assert len(caught.value.problems) == 3


@settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=40) | st.binary(max_size=8).map(lambda tail: TEXT.encode() + tail))
def test_any_bytes_give_a_spec_or_problems(folder, data):
    (folder / "vit.yaml").write_bytes(data)
    try:
        name = read_spec(folder / "vit.yaml").name
    except SpecError as error:
        name = "vit" if error.problems else "no problems"
    assert name == "vit"
