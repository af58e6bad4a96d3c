"""Is every byte of the registry still what was written?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import RegistryError, VerificationError
from sweep.registry.aliases import Aliases
from sweep.registry.layout import EXPORTS, MANIFEST, PROMOTING, ModelFolder, Version, version_number
from sweep.registry.manifest import FileFacts, Manifest
from sweep.registry.models import list_models, model_folder
from sweep.registry.staging import remove_dead
from sweep.store.files import sha256_file
from sweep.store.paths import Place

_OURS = {"aliases.jsonl", ".lock", ".aliases.lock"}


@dataclass(frozen=True)
class Problem:
    """One thing that isn't as it was written.

    Attributes:
        model: the model's name.
        version: "v7", or None for what belongs to no version.
        file: path inside the version, or inside the model's folder.
        what: what is wrong with it.
    """

    model: str
    version: str | None
    file: str
    what: str

    def __str__(self) -> str:
        where = self.model if self.version is None else f"{self.model}@{self.version}"
        return f"{where}: {self.file}: {self.what}."


def verify(registry: Place, model: str | None = None, version: int | None = None) -> list[Problem]:
    """Compare every byte with the manifests; an empty list means that all is well.

    Finds a changed, missing or extra file, a damaged manifest and damaged aliases. A version's `exports/` was made
    later and isn't looked at. What killed promotions left is removed, where this user may.

    Args:
        registry: its folder.
        model: this one only.
        version: of the model, this number only; the aliases are left out then.

    Raises:
        RegistryError: there is no such registry, model or version.
    """
    names = list_models(registry) if model is None else [model]
    folders = [model_folder(registry, name) for name in names]
    if version is None:
        return [problem for folder in folders for problem in _model_problems(folder)]
    if model is None or version not in folders[0].numbers():
        raise RegistryError(f"{registry}: {model} has no version v{version} to verify.")
    return list(_version_problems(folders[0].version(version)))


def _model_problems(folder: ModelFolder) -> Iterator[Problem]:
    if os.access(folder.root, os.W_OK):
        remove_dead(folder)
        folder.remove_dead()
    strays = folder.strays()
    for name in _strays(folder) if strays is None else strays:
        yield Problem(folder.name, None, name, "nothing that the registry wrote")
    for what in Aliases(folder).problems():
        yield Problem(folder.name, None, folder.aliases.name, what)
    for version in folder.versions():
        yield from _version_problems(version)


def _strays(folder: ModelFolder) -> Iterator[str]:
    for child in sorted(folder.root.iterdir()):
        if not (child.name in _OURS or child.name.startswith(PROMOTING) or version_number(child.name)):
            yield child.name


def _version_problems(version: Version) -> Iterator[Problem]:
    try:
        manifest = version.manifest
    except VerificationError as error:
        yield Problem(version.model, version.name, MANIFEST, str(error).rstrip("."))
        return
    there = version.folder.problems(version, manifest) if version.folder else None
    files = [*_contents(version, manifest), *_extras(version, manifest)] if there is None else list(there)
    wrong = [*_identity(version, manifest), *files]
    for file, what in wrong:
        yield Problem(version.model, version.name, file, what)


def _identity(version: Version, manifest: Manifest) -> Iterator[tuple[str, str]]:
    if (manifest.model, manifest.version) != (version.model, version.number):
        yield MANIFEST, f"written for {manifest.model}@v{manifest.version}; the folder was renamed or copied"


def _contents(version: Version, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for name, facts in manifest.files.items():
        what = _difference(version.path / name, facts)
        if what is not None:
            yield name, what


def _difference(path: Path, facts: FileFacts) -> str | None:
    if path.is_symlink():
        return "a link, where a file was written"
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size != facts.bytes:
        return f"{size} bytes, where {facts.bytes} were written"
    if sha256_file(path) != facts.sha256:
        return "changed since it was written (its SHA-256 differs)"
    return None


def _extras(version: Version, manifest: Manifest) -> Iterator[tuple[str, str]]:
    known = {MANIFEST, *manifest.files}
    for path in sorted(version.path.rglob("*")):
        name = path.relative_to(version.path)
        if name.parts[0] == EXPORTS or name.as_posix() in known:
            continue
        if path.is_symlink() or not path.is_dir():
            yield name.as_posix(), "extra: not in the manifest"
