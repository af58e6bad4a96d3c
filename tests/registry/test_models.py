"""A name means a version, or the error says which name was meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.errors import RegistryError, VerificationError
from sweep.registry import Aliases, ModelFolder, list_models, list_versions, load_weights, promote, resolve


@pytest.fixture
def filled(registry, source):
    for trial in (1, 2, 3):
        promote(registry, "vit", replace(source, trial=trial), alias=None)
    promote(registry, "resnet", source, alias="champion")
    Aliases(ModelFolder(registry / "vit")).point("champion", 2, "ann")
    return registry


def test_lists(filled):
    (filled / "notes").mkdir()
    assert list_models(filled) == ["resnet", "vit"]
    assert [version.name for version in list_versions(filled, "vit")] == ["v1", "v2", "v3"]


def test_versions_are_in_the_order_of_numbers(registry, source):
    for trial in range(11):
        promote(registry, "vit", replace(source, trial=trial), alias=None)
    assert [version.number for version in list_versions(registry, "vit")] == list(range(1, 12))
    assert resolve(registry, "vit@latest").number == 11


@pytest.mark.parametrize(
    ("name", "number"), [("vit@champion", 2), ("vit@v3", 3), ("vit@latest", 3), ("vit", 2), ("resnet", 1)]
)
def test_resolve(filled, name, number):
    assert resolve(filled, name).number == number


def test_model_alone_is_its_latest_version_where_no_champion_is(registry, source):
    promote(registry, "vit", source, alias="candidate")
    promote(registry, "vit", replace(source, trial=18), alias=None)
    assert resolve(registry, "vit").number == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vti@v1", "no model 'vti'. Did you mean vit\\?\n  It has resnet, vit."),
        ("zzz", "no model 'zzz'.\n"),
        ("vit@champoin", "vit has no alias 'champoin'. Did you mean champion\\?\n  Its aliases: champion, latest; "),
        ("vit@lastest", "Did you mean latest\\?"),
        ("vit@v9", "vit has no version v9. Did you mean v3\\? It has v1 to v3"),
        ("resnet@v2", "resnet has no version v2. Did you mean v1\\? It has v1\\."),
        ("vit@", "vit has no alias ''"),
        ("../vit", "no model '../vit'"),
    ],
)
def test_unknown_name_gives_the_nearest(filled, name, message):
    with pytest.raises(RegistryError, match=message):
        resolve(filled, name)


def test_alias_of_a_version_that_is_gone(filled):
    (filled / "vit" / "v2").rename(filled / "elsewhere")
    with pytest.raises(RegistryError, match=r"vit@champion points to v2, which doesn't exist. It has v1 to v3"):
        resolve(filled, "vit@champion")


def test_empty_and_missing_registry(tmp_path):
    with pytest.raises(RegistryError, match="no model 'vit'; this registry is empty"):
        resolve(tmp_path, "vit")
    with pytest.raises(RegistryError, match=r"no registry here. A promotion makes it"):
        list_models(tmp_path / "none")


def test_changed_weights_are_not_loaded(registry, source):
    version = promote(registry, "vit", source, alias=None)
    version.safetensors.chmod(0o644)
    data = bytearray(version.safetensors.read_bytes())
    data[-1] ^= 1
    version.safetensors.write_bytes(data)
    with pytest.raises(VerificationError, match=r"changed since it was written. Nothing was loaded"):
        load_weights(version)


def test_import_brings_no_torch(python):
    program = "import sys, sweep.registry; print({'torch', 'safetensors', 'ray', 'optuna'} & set(sys.modules))"
    assert python("-c", program).stdout.strip() == b"set()"
