"""Which command lines are for a cluster elsewhere."""

import pytest

from sweep.errors import InputError
from sweep.remote.asking import Asked, asked

HEAD = "http://head:8265"


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (f"launch a.yaml --address {HEAD} --set x.y=1", ("launch", "a.yaml", "--set", "x.y=1")),
        (f"--debug status vit --address={HEAD} --json", ("status", "vit", "--json")),
        (f"logs vit 3 -f --address {HEAD}", ("logs", "vit", "3", "-f")),
        (f"models ls --address {HEAD}", ("models", "ls")),
    ],
)
def test_what_is_asked_of_a_cluster_is_the_line_without_what_is_for_here(line, arguments):
    assert asked(line.split()) == Asked(HEAD, "url", arguments, detach=False)


@pytest.mark.parametrize(
    "line",
    [
        "launch a.yaml",
        "launch a.yaml --address auto",
        "resume vit --address 10.0.0.1:6379",
        f"doctor --address {HEAD}",
        "",
    ],
)
def test_other_lines_are_for_here(line):
    assert asked(line.split()) is None


def test_the_file_of_a_launch_is_found_behind_options():
    assert asked(f"launch --set a.b=c --name x a.yaml --address {HEAD}".split()).subject == "a.yaml"
    assert asked(f"trials vit --sort -lr --address {HEAD}".split()).subject == "vit"


def test_a_cluster_is_named_by_its_file_too():
    found = asked(["resume", "vit", "--detach", "--address", "cluster/gpu.yaml"])
    assert found == Asked("cluster/gpu.yaml", "file", ("resume", "vit"), detach=True)
    assert (found.verb, found.subject) == ("resume", "vit")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("launch a.yaml --detach", "the launch runs in this process"),
        ("launch a.yaml --detach --address auto", "the launch runs in this process"),
        (f"status vit --detach --address {HEAD}", "status ends by itself"),
    ],
)
def test_nothing_is_left_alone_that_does_not_run_elsewhere(line, words):
    with pytest.raises(InputError, match=words):
        asked(line.split())
