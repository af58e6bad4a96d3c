"""`sweep ui`, as far as it goes without serving."""

import socket
import sys

import pytest

from sweep.cli.web import models
from sweep.registry import Aliases, model_folder


@pytest.fixture
def served(monkeypatch):
    """What would be served, in place of serving it."""
    from sweep.watch.ui import serving

    found = []
    monkeypatch.setattr(serving.Serving, "run", lambda self: found.append(self))  # noqa: PLW0108 - a method
    yield found
    for one in found:
        one._socket.close()


def test_it_says_where_once_and_with_the_token(sweep, served):
    result = sweep("ui", "--port", "0")
    assert result.code == 0
    assert result.out.count("http://") == 1
    assert served[0].address in result.out
    assert served[0].address.startswith(f"http://127.0.0.1:{served[0].port}/?token=")


def test_each_start_has_a_token_of_its_own(sweep, served):
    sweep("ui", "--port", "0")
    sweep("ui", "--port", "0")
    first, second = (one.address.partition("token=")[2] for one in served)
    assert len(first) >= 40
    assert first != second


def test_a_taken_port_is_refused_and_none_named_finds_another(sweep, served):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = sweep("ui", "--port", str(port))
        assert result.code == 2
        assert f"--port {port}: can't be had" in result.err
    from sweep.watch.ui import serving

    sweep("ui")
    sweep("ui")
    assert served[0].port != served[1].port
    assert served[1].port != serving.PORT


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_without_its_extra_it_says_how_to_get_it(sweep, monkeypatch, missing):
    for name in [name for name in sys.modules if name.startswith(("sweep.watch.ui", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    result = sweep("ui", "--port", "0")
    assert result.code == 2
    assert "pip install 'sweep[ui]'" in result.err


def test_models_are_told_with_aliases_and_what_is_damaged_in_place(launch, folder, sweep):
    assert launch().code == 0
    sweep("promote", "toy", "--model", "other")
    Aliases(model_folder(folder / "registry", "other")).point("champion", 1, "somebody")
    found = {model["model"]: model for model in models(folder / "registry")["models"]}
    (version,) = found["other"]["versions"]
    assert (version["version"], version["aliases"], version["study"]) == ("v1", ["champion"], "toy")
    assert version["metrics"][version["metric"]] == version["value"]
    assert found["other"]["history"][0]["by"] == "somebody"
    manifest = folder / "registry" / "other" / "v1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("toy", "toi"))
    found = {model["model"]: model for model in models(folder / "registry")["models"]}
    assert "torn or changed" in found["other"]["versions"][0]["problem"]
    (folder / "registry" / "other" / "aliases.jsonl").write_text("{}\n")
    found = {model["model"]: model for model in models(folder / "registry")["models"]}
    assert "line 1 was changed" in found["other"]["problem"]


def test_a_registry_that_isn_t_there_yet_is_empty(tmp_path):
    assert models(tmp_path / "none") == {"registry": str(tmp_path / "none"), "problem": "", "models": []}
    (tmp_path / "file").touch()
    assert models(tmp_path / "file")["problem"]
