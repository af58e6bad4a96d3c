"""docs/tutorial.ipynb, run in a real kernel; and a study in a kernel that knows nothing of it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tutorial")


def executed(notebook, folder):
    """The notebook after it ran in a new kernel of this Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TUTORIAL.parents[1]))
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
        return client.execute()


def outputs(cell):
    return [output["data"] for output in cell["outputs"] if "data" in output]


@pytest.fixture(scope="module")
def tutorial(folder):
    return executed(nbformat.read(TUTORIAL, as_version=4), folder)


def cell_with(notebook, source):
    return next(cell for cell in notebook.cells if cell["cell_type"] == "code" and cell["source"].startswith(source))


@pytest.mark.ray
@pytest.mark.slow
def test_a_launch_keeps_one_live_picture_in_its_cell(tutorial):
    shown = [data for data in outputs(cell_with(tutorial, "study = sweep.launch")) if "text/html" in data]
    (picture,) = [data["text/html"] for data in shown]
    assert "tutorial" in picture
    assert "complete" in picture
    assert "val_accuracy" in picture


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_shows_a_table_and_plots(tutorial):
    shown = outputs(next(cell for cell in tutorial.cells if cell["source"] == "study"))
    assert "text/html" in shown[0]
    assert sum(PLOTLY in data for data in shown) == 3
    assert any("text/html" in data for data in outputs(cell_with(tutorial, "study.trials()")))


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_survives_its_kernel(tutorial, folder):
    cells = [
        new_code_cell("import sweep\nstudy = sweep.load('tutorial')\nprint(study.best.number)"),
        new_code_cell("study"),
    ]
    again = executed(new_notebook(cells=cells), folder)
    number = cell_with(tutorial, "best = study.best")["outputs"][0]["text"].split()[0]
    assert again.cells[0]["outputs"][0]["text"].strip() == number
    assert sum(PLOTLY in data for data in outputs(again.cells[1])) == 3


def test_the_tutorial_is_kept_without_outputs():
    assert not [cell for cell in nbformat.read(TUTORIAL, as_version=4).cells if cell.get("outputs")]
