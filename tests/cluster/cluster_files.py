"""Cluster files of the project, and ways to break them."""

import copy
from pathlib import Path

import yaml

from sweep.cluster.images import Versions

FOLDER = Path(__file__).parents[2] / "cluster"

REMOVE = object()
OWN = Versions(ray="2.60.0", python="3.12")


def changed(content, place, value):
    """A copy with one thing changed at "a.b.0.c": numbers are places in a list, a key's own dot has a backslash."""
    copied = copy.deepcopy(content)
    steps = [part.replace("\0", ".") for part in place.replace("\\.", "\0").split(".")]
    *parents, last = [int(step) if step.lstrip("-").isdigit() else step for step in steps]
    spot = copied
    for step in parents:
        spot = spot[step]
    if value is REMOVE:
        del spot[last]
    else:
        spot[last] = value
    return copied


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True
