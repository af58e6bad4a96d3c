"""Reading a registry: which models and versions there are, and what a name like vit@champion means."""

from __future__ import annotations

import difflib

from sweep.core.names import LATEST
from sweep.errors import RegistryError
from sweep.registry.aliases import Aliases
from sweep.registry.in_bucket import model_in, models_in
from sweep.registry.layout import ModelFolder, Version, check_model_name, version_number
from sweep.registry.opening import open_registry
from sweep.store.paths import BucketFolder, Place

DEFAULT_ALIAS = "champion"


def list_models(registry: Place) -> list[str]:
    """The models that have a version, by name.

    Raises:
        RegistryError: there is no registry.
        BucketError: its bucket can't be reached; so with all that reads a registry.
    """
    if isinstance(registry, BucketFolder):
        return models_in(registry)
    children = sorted(open_registry(registry, create=False).iterdir())
    return [child.name for child in children if child.is_dir() and ModelFolder(child).numbers()]


def list_versions(registry: Place, model: str) -> list[Version]:
    """The versions of a model, ascending.

    Raises:
        RegistryError: there is no such model; the nearest name is given.
    """
    return model_folder(registry, model).versions()


def resolve(registry: Place, name: str) -> Version:
    """The version that a name means.

    Args:
        registry: its folder, here or in a bucket.
        name: "vit@v3", "vit@champion" or another alias, "vit@latest", or "vit": the champion, or the latest version
            where there is no champion.

    Raises:
        RegistryError: there is no such model, version or alias; the nearest name is given.
        VerificationError: `aliases.jsonl` is damaged.
    """
    model, at, which = name.partition("@")
    folder = model_folder(registry, model)
    versions = {version.name: version for version in folder.versions()}
    versions[LATEST] = versions[f"v{folder.numbers()[-1]}"]
    if which in versions:
        return versions[which]
    aliases = Aliases(folder).current()
    if not at:
        which = DEFAULT_ALIAS if DEFAULT_ALIAS in aliases else LATEST
    target = aliases.get(which, which)
    if target not in versions:
        raise RegistryError(_unknown(folder, which, aliases))
    return versions[target]


def model_folder(registry: Place, model: str) -> ModelFolder:
    """The files of a model that exists.

    Raises:
        RegistryError: there is no such model; the nearest name is given.
    """
    folder = folder_of(registry, model)
    if isinstance(registry, BucketFolder) and folder.numbers():
        return folder
    models = list_models(registry)
    if model in models:
        return folder
    if not models:
        raise RegistryError(f"{registry}: no model {model!r}; this registry is empty.")
    raise RegistryError(f"{registry}: no model {model!r}.{_nearest(model, models)}\n  It has {', '.join(models)}.")


def folder_of(registry: Place, model: str) -> ModelFolder:
    """The files of a model, which need not exist; of one in a bucket what is here is up to date.

    Raises:
        RegistryError: a name that can't be a model's, for a bucket.
    """
    if isinstance(registry, BucketFolder):
        check_model_name(model)
        return model_in(registry, model)
    return ModelFolder(registry / model)


def _unknown(folder: ModelFolder, which: str, aliases: dict[str, str]) -> str:
    numbers = folder.numbers()
    has = f"v{numbers[0]}" if len(numbers) == 1 else f"v{numbers[0]} to v{numbers[-1]}"
    words = [*aliases, LATEST]
    if which in aliases:
        return f"{folder.name}@{which} points to {aliases[which]}, which doesn't exist. It has {has}."
    wanted = version_number(which)
    if wanted is not None:
        nearest = min(numbers, key=lambda number: abs(number - wanted))
        return f"{folder.name} has no version {which}. Did you mean v{nearest}? It has {has}."
    return (
        f"{folder.name} has no alias {which!r}.{_nearest(which, words)}\n"
        f"  Its aliases: {', '.join(words)}; its versions: {has}."
    )


def _nearest(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f" Did you mean {close[0]}?" if close else ""
