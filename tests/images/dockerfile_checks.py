"""Read a Dockerfile and say which of the image's promises it breaks; hadolint knows style, not these."""

from __future__ import annotations

import json
import re

VERSIONS = ("cuda", "python", "ray", "torch")
LABELS = ("title", "description", "licenses", "version", "revision", "base.name")
VOLUMES = {"/data", "/studies", "/registry"}
SECRET = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|API_?KEY|PRIVATE_KEY", re.IGNORECASE)

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """(keyword, rest) of each instruction: comments dropped, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n\s*", " ", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def stages(text: str) -> dict[str, list[Instruction]]:
    """Name to instructions of each stage, its FROM first."""
    found: dict[str, list[Instruction]] = {}
    for word, rest in instructions(text):
        if word == "FROM":
            name = rest.split()[-1]
            found[name] = []
        if found:
            found[name].append((word, rest))
    return found


def stage(text: str, name: str) -> list[Instruction]:
    """The instructions of the stage with this name, its FROM first."""
    found = stages(text)
    if name not in found:
        raise ValueError(f"The Dockerfile has no stage {name}.")
    return found[name]


def chain(text: str, name: str) -> list[Instruction]:
    """All that makes the image of this target: the instructions of the stages that it is built from, then its own."""
    own = stage(text, name)
    parent = own[0][1].split()[0]
    return (chain(text, parent) if parent in stages(text) else []) + own


def arguments(found: list[Instruction]) -> dict[str, str]:
    """The ARGs in these instructions and their defaults, "" where there is none."""
    pairs = [rest.partition("=") for word, rest in found if word == "ARG"]
    return {name: default.strip('"') for name, _, default in pairs}


def last(found: list[Instruction], keyword: str) -> str:
    """The instruction that counts, for those of which the last one does; "" when there is none."""
    return next((rest for word, rest in reversed(found) if word == keyword), "")


def exec_form(text: str) -> list[str]:
    """The words of a JSON command; [] for a shell command, whose process would not see signals."""
    start = text.find("[")
    return json.loads(text[start:]) if start >= 0 and text.endswith("]") else []


def problems(text: str, name: str = "base") -> list[str]:
    """Every promise that this target breaks; empty when it keeps them all."""
    found = chain(text, name)
    return [
        *source_problems(text),
        *user_problems(found),
        *process_problems(found),
        *label_problems(found),
        *argument_problems(text, name),
        *secret_problems(text),
    ]


def source_problems(text: str) -> list[str]:
    """The base image can be replaced by an argument, and its default has a fixed tag."""
    known = instructions(text)
    before = [found for found in known[: [word for word, _ in known].index("FROM")] if found[0] == "ARG"]
    default = arguments(before).get("BASE", "")
    tag = default.rpartition(":")[2] if ":" in default else ""
    found = [] if tag and tag != "latest" else [f"ARG BASE: {default!r} has no fixed tag."]
    first = last([i for i in instructions(text) if i[0] == "FROM"][:1], "FROM")
    return (
        found if first.startswith("${BASE}") else [*found, f"FROM: got {first!r}; the first stage is FROM ${{BASE}}."]
    )


def argument_problems(text: str, name: str) -> list[str]:
    """A stage that uses an argument declares it: Docker puts nothing in its place otherwise, and says nothing."""
    own = stage(text, name)
    used = {
        argument
        for word, rest in own
        if word in {"USER", "ENV", "LABEL"}
        for argument in re.findall(r"\$\{(\w+)\}", rest)
    }
    return [
        f"{name}: ARG {argument} is missing in this stage; its value would be empty."
        for argument in sorted(used - arguments(own).keys())
    ]


def user_problems(found: list[Instruction]) -> list[str]:
    """The container doesn't run as root, says so as a number, and has HOME where `ray up` looks for it."""
    user = last(found, "USER")
    argument = re.fullmatch(r"\$\{(\w+)\}", user)
    number = arguments(found).get(argument[1], "") if argument else user
    problems = [] if number.isdigit() and int(number) else [f"USER: got {user!r}; a number other than 0."]
    if not any(word == "ENV" and re.search(r"\bHOME=/home/", rest) for word, rest in found):
        problems.append("ENV HOME: missing; `ray up` would mount the token under /root.")
    missing = VOLUMES - {path for word, rest in found if word == "VOLUME" for path in exec_form(rest)}
    return problems + [f"VOLUME: {path} is missing." for path in sorted(missing)]


def process_problems(found: list[Instruction]) -> list[str]:
    """Tini starts what is run, and Docker is told how to ask for its health; all without a shell."""
    problems = []
    if exec_form(last(found, "ENTRYPOINT"))[:2] != ["/usr/bin/tini", "--"]:
        problems.append('ENTRYPOINT: expected ["/usr/bin/tini", "--", ...].')
    # With an empty CMD it is the entrypoint that decides.
    problems += [
        f"{key}: missing, or not in exec form."
        for key in ("CMD", "HEALTHCHECK")
        if not exec_form(last(found, key)) and last(found, key) != "[]"
    ]
    return problems


def label_problems(found: list[Instruction]) -> list[str]:
    """The OCI labels are there, and the versions of what is inside."""
    labels = " ".join(rest for word, rest in found if word == "LABEL")
    problems = [
        f"LABEL: org.opencontainers.image.{name} is missing."
        for name in LABELS
        if f"org.opencontainers.image.{name}=" not in labels
    ]
    return problems + [
        f"LABEL: sweep.{name}.version is missing." for name in VERSIONS if f"sweep.{name}.version=" not in labels
    ]


def secret_problems(text: str) -> list[str]:
    """No password enters as ARG or ENV (both stay readable in the image), nor the whole folder by COPY."""
    problems = []
    for word, rest in instructions(text):
        names = re.findall(r"(?:^|\s)(\w+)(?==|$)", rest) if word in {"ARG", "ENV"} else []
        problems += [
            f"{word} {name}: stays readable in the image; use RUN --mount=type=secret."
            for name in names
            if SECRET.search(name)
        ]
        if word in {"COPY", "ADD"} and "." in rest.split()[:-1]:
            problems.append(f"{word} {rest}: name what is copied; the folder may hold tokens and studies.")
    return problems


def copied(text: str) -> list[str]:
    """What COPY takes from the build's folder, not from other stages."""
    copies = [rest.split() for word, rest in instructions(text) if word == "COPY" and "--from=" not in rest]
    return [source for words in copies for source in words[:-1] if not source.startswith("--")]
