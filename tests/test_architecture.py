"""docs/architecture.md, held true: imports only point down, and heavy libraries stay in their folders."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sweep"

# From the top down; a module may import its own layer's folder and what stands lower, never another adapter.
LOW = {"core", "store", "machine", "errors"}
TOP = {
    *("cli", "__main__", "__init__", "api", "launching", "driver", "proposing", "placements"),
    *("promoting", "simulating", "doctor"),
}
ADAPTERS = {"samplers", "executors", "training", "registry", "cluster", "remote", "watch"}
HEAVY = {
    "optuna": {"samplers"},
    "ray": {"executors", "doctor", "cluster", "remote"},
    "yaml": {"cluster"},
    "botocore": {"cluster", "store"},
    "obstore": {"store"},
    "googleapiclient": {"cluster"},
    "torch": {"training", "registry", "doctor"},
    "torchvision": {"training", "doctor"},
    "sklearn": {"training", "watch"},
    "jinja2": {"watch"},
    "plotly": {"watch", "api"},
    "IPython": {"watch"},
    "mlflow": {"watch"},
    "fastapi": {"watch"},
    "starlette": {"watch"},
    "uvicorn": {"watch"},
    "typer": {"cli"},
    "rich": {"cli", "watch"},
    "tensorboard": {"watch"},
    "safetensors": {"registry", "training"},
    "pandas": {"api"},
}
# Code written for Ray Tune asks Ray's own modules; only such code's attempts import this one.
ALSO = {("ray", "sweep/training/foreign/tune.py")}
IMPURE = {"os", "pathlib.Path", "socket", "subprocess", "time", "threading", "shutil", "tempfile", "numpy"}


def layer(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """(module, line) of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


MODULES = sorted(PACKAGE.rglob("*.py"))


def allowed(mine, other):
    if other in LOW:
        return mine not in ("core", "errors") or other in ("errors", mine)
    return mine in TOP or mine == other


def test_imports_only_point_down():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in MODULES
        for name, line in imports(path)
        if name.startswith("sweep.") and not allowed(layer(path), name.split(".")[1])
    ]
    # store reads specs, which is core's; core never looks up.
    assert not wrong


def test_heavy_libraries_stay_in_their_folders():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in MODULES
        for name, line in imports(path)
        if (library := name.split(".")[0]) in HEAVY
        and layer(path) not in HEAVY[library]
        and (library, path.relative_to(ROOT).as_posix()) not in ALSO
    ]
    assert not wrong


def test_core_is_pure():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in MODULES
        if layer(path) == "core" and path.name != "schema.py"
        for name, line in imports(path)
        if {name, name.split(".")[0]} & IMPURE
    ]
    assert not wrong


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["validate", str(ROOT / "search_spaces" / "quick.yaml")],
        ["ls"],
        ["models", "--help"],
        ["cluster", "--help"],
    ],
)
def test_start_imports_neither_torch_nor_ray(command, tmp_path):
    code = (
        "import sys\n"
        f"sys.argv = ['sweep', *{command!r}]\n"
        "from sweep.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'optuna', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["sweep.launching", "sweep.driver", "sweep.api", "sweep.executors.inline", "sweep.doctor"]
)
def test_driver_never_imports_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_in_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`(sweep/[\w/]+\.py|sweep/[\w/]+/)`", text))
    assert named, "docs/architecture.md names no file: the check would check nothing"
    assert not [name for name in named if not (ROOT / name).exists()]


def test_nothing_unexpected_stands_at_the_top():
    folders = {"sweep", "search_spaces", "cluster", "images", "tests", "docs", "benchmarks"}
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout: what is tracked can't be known")
    tops = {name.split("/")[0] for name in tracked.splitlines()}
    assert {top for top in tops if not top.startswith(".")} <= folders | files


def test_no_two_test_files_have_one_name():
    """Without packages pytest imports them by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
