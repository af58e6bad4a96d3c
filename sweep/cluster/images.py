"""Container images and versions: named in full, ours by its rule, and the same Ray and Python on all sides."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep.cluster.reading import texts
from sweep.cluster.remarks import Remarks
from sweep.core.positions import Path

Config = dict[str, Any]

OURS = "pytorch-cuda"
_REFERENCE = re.compile(
    r"(?:(?P<registry>[a-z0-9.-]+(?::\d+)?)/)?"
    r"(?P<path>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_OUR_TAG = re.compile(r"v(?P<torch>\d+\.\d+)(?:\.\d+)?(?:-(?:cv|nlp|dev))?")
_RAY_TAG = re.compile(r"(?P<ray>\d+\.\d+\.\d+)\S*?-py3(?P<python>\d{1,2})(?:-|$)")
_PINNED = re.compile(r"(?<![\w-])(?P<name>ray|torch)(?:\[[\w,]*\])?==(?P<version>\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class Versions:
    """What is said of an image's contents, or of what a command installs: "2.60.0", "3.12"; None where nothing is."""

    ray: str | None = None
    python: str | None = None
    torch: str | None = None


def own_versions() -> Versions:
    """Those where this runs.

    Returns:
        Ray's and Python's; torch would take seconds to import.
    """
    import ray

    return Versions(ray.__version__, f"{sys.version_info.major}.{sys.version_info.minor}")


def launcher_images(config: Config) -> Iterator[tuple[Path, str]]:
    """(place, image) of each container image of a file for `ray up`."""
    docker = config.get("docker") or {}
    yield from ((("docker", key), docker[key]) for key in ("image", "head_image", "worker_image") if docker.get(key))
    for name, kind in (config.get("available_node_types") or {}).items():
        if image := (kind.get("docker") or {}).get("worker_image"):
            yield ("available_node_types", name, "docker", "worker_image"), image


def image_problems(images: list[tuple[Path, str]], found: Remarks) -> dict[Path, Versions]:
    """What is wrong with images' names, and what each name says of its versions."""
    said = {}
    for path, image in images:
        match = _REFERENCE.fullmatch(image) if isinstance(image, str) else None
        if match is None:
            found.wrong(path, f"{image!r} is no image reference with a tag, such as registry.example.com/name:v1.")
            continue
        tag = match["tag"]
        if not tag and not match["digest"]:
            found.wrong(path, f"{image!r} is no image reference with a tag. Without one it is another image each day.")
        elif tag == "latest" and not match["digest"]:
            found.wrong(path, f"{image!r}: latest is another image each day. Name a version.")
        elif tag:
            said[path] = _said(path, image, match["path"].rsplit("/", 1)[-1], tag, found)
    return said


def _said(path: Path, image: str, name: str, tag: str, found: Remarks) -> Versions:
    if name == OURS:
        ours = _OUR_TAG.fullmatch(tag)
        if ours is None:
            told = f"{image!r}: our images are tagged after their PyTorch: {OURS}:v2.14, with -cv, -nlp or -dev behind."
            found.wrong(path, told)
            return Versions()
        return Versions(torch=ours["torch"])
    if name.startswith("ray") and (match := _RAY_TAG.match(tag)):
        return Versions(ray=match["ray"], python=f"3.{match['python']}")
    return Versions()


def version_problems(
    config: Config, said: dict[Path, Versions], found: Remarks, *, own: Versions, stated: tuple[Path, Any] = ((), None)
) -> None:
    """Ray and Python agree between head, workers and here, as far as the file says which they have.

    Args:
        config: the file; commands that install an exact version are looked at.
        said: by the images' names.
        found: takes problems and doubts.
        own: those where this runs.
        stated: where the file states versions, and what: {ray: 2.60.0, python: "3.12"}.
    """
    facts: list[tuple[Path, Versions]] = list(said.items())
    place, table = stated
    if isinstance(table, dict):
        ray, python = table.get("ray"), table.get("python")
        for key, value in (("ray", ray), ("python", python)):
            if value is not None and not isinstance(value, str):
                found.wrong((*place, key), f'got {value!r}. Put it in quotes: "{value}"; 3.10 would be read as 3.1.')
        facts.append((place, Versions(*(value if isinstance(value, str) else None for value in (ray, python)))))
    for path, text in texts(config):
        pins = {match["name"]: match["version"] for match in _PINNED.finditer(text)}
        if pins:
            facts.append((path, Versions(ray=pins.get("ray"), torch=pins.get("torch"))))
    _agree(facts, found)
    for path, one in facts:
        if one.ray and own.ray and _minor(one.ray) != _minor(own.ray):
            told = f"has Ray {one.ray}, and here is {own.ray}: sweep needs {_minor(own.ray)}.* on every node."
            found.wrong(path, told)
        if one.python and own.python and _minor(one.python) != own.python:
            told = (
                f"has Python {one.python}, and here is {own.python}. `ray job submit` works; a driver here is refused."
            )
            found.doubt(path, told)


def _agree(facts: list[tuple[Path, Versions]], found: Remarks) -> None:
    """The same minor version of each wherever the file says one."""
    for name in ("ray", "python", "torch"):
        known = [(path, version) for path, one in facts if (version := getattr(one, name))]
        if not known:
            continue
        first, version = known[0]
        for path, other in known[1:]:
            if _minor(other) != _minor(version):
                told = f"says {name} {other}, and {'.'.join(map(str, first))} says {version}: all nodes need the same."
                found.wrong(path, told)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
