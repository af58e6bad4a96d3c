"""Checks of the project's cluster files, changed in one place or several."""

import copy

import pytest
import yaml
from cluster_files import FOLDER, OWN, NoAliases, changed

from sweep.cluster.check import check_text


@pytest.fixture(scope="session")
def checked():
    """Checks a file of cluster/, with changes {place: value}; of a file of several documents, those of the first."""

    def check(name, changes=None, *, document=0):
        documents = list(yaml.safe_load_all((FOLDER / name).read_text()))
        for place, value in (changes or {}).items():
            documents[document] = changed(documents[document], place, value)
        # Without anchors, which would change all their uses.
        text = yaml.dump_all(copy.deepcopy(documents), sort_keys=False, Dumper=NoAliases)
        return check_text(text, name, own=OWN)

    return check


@pytest.fixture(scope="session")
def told(checked):
    """All problems of a changed file as one text."""

    def tell(name, changes=None, *, document=0):
        return "\n".join(map(str, checked(name, changes, document=document).problems))

    return tell
