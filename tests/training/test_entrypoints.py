"""Entrypoints: found without running them, imported with every failure told in words."""

import subprocess
import sys
import textwrap

import pytest

from sweep.errors import EntrypointError
from sweep.training import entrypoints

FUNCTION = "def train(config, ctx):\n    return config\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with modules of its own names, so that tests can't meet each other in sys.modules."""
    folder = tmp_path / "code"
    folder.mkdir()
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(entrypoint, folder, match, *, resolve=True, check=True):
    """Both ways refuse the entrypoint with these words."""
    if resolve:
        with pytest.raises(EntrypointError, match=match):
            entrypoints.resolve(entrypoint, folder)
    if check:
        with pytest.raises(EntrypointError, match=match):
            entrypoints.check(entrypoint, folder)


def test_resolves_a_module(package):
    (package / "user_mod.py").write_text(FUNCTION)
    assert entrypoints.resolve("user_mod:train", package)({"lr": 1}, None) == {"lr": 1}


def test_resolves_a_dotted_module(package):
    (package / "user_pkg").mkdir()
    (package / "user_pkg" / "__init__.py").write_text("")
    (package / "user_pkg" / "deep.py").write_text(FUNCTION)
    assert callable(entrypoints.resolve("user_pkg.deep:train", package))
    assert entrypoints.check("user_pkg.deep:train", package) == "user_pkg.deep:train"


def test_resolves_a_file_with_neighbours(package):
    (package / "user_helper.py").write_text("FACTOR = 3\n")
    (package / "train.py").write_text("import user_helper\ndef train(config): return user_helper.FACTOR\n")
    assert entrypoints.resolve(f"{package}/train.py:train")({}) == 3


def test_a_file_is_imported_anew_under_the_same_name(package):
    file = package / "train.py"
    file.write_text("def train(config): return 1\n")
    first = entrypoints.resolve(f"{file}:train")
    file.write_text("def train(config): return 2  # longer\n")
    second = entrypoints.resolve(f"{file}:train")
    assert (first({}), second({})) == (1, 2)
    assert first.__module__ == second.__module__
    assert sys.modules[second.__module__].train is second


def test_sys_path_is_put_back(package):
    (package / "train.py").write_text(FUNCTION)
    before = list(sys.path)
    entrypoints.resolve(f"{package}/train.py:train", package)
    entrypoints.check("train.py:train", package, package)
    assert sys.path == before


def test_check_makes_files_absolute_and_looks_in_both_folders(package, tmp_path):
    (package / "train.py").write_text(FUNCTION)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert entrypoints.check("train.py:train", package) == f"{package}/train.py:train"
    assert entrypoints.check("train.py:train", elsewhere, package) == f"{package}/train.py:train"


@pytest.mark.parametrize("text", ["train", "train.py", ":train", "train.py:", "my module:train", "a.py:1x", ""])
def test_other_forms_are_refused(text, tmp_path):
    refused(text, tmp_path, r"Write package\.module:function, or path/file\.py:function")


def test_missing_file_is_named(package):
    refused("nowhere.py:train", package, r"there is no file .*code/nowhere\.py")


def test_missing_module_is_named(package):
    refused("no_such_module:train", package, "no module no_such_module. Looked in .*code")


def test_missing_parent_is_named(package):
    refused("no_such_pkg.sub:train", package, r"no module no_such_pkg\.sub \(no_such_pkg isn't there\)")


def test_missing_import_of_the_module_is_told_apart(package):
    (package / "user_imports.py").write_text("import not_installed_here\n" + FUNCTION)
    refused(
        "user_imports:train", package, "user_imports imports not_installed_here, which isn't installed", check=False
    )
    assert entrypoints.check("user_imports:train", package)  # nothing was run


def test_missing_import_of_a_file_is_told_apart(package):
    (package / "train.py").write_text("import not_installed_here\n" + FUNCTION)
    refused(f"{package}/train.py:train", None, "train.py imports not_installed_here, which isn't", check=False)


def test_failure_while_importing_is_told_with_its_type(package):
    before = set(sys.modules)
    (package / "train.py").write_text("1 / 0\n" + FUNCTION)
    refused(f"{package}/train.py:train", None, "importing .*train.py failed: ZeroDivisionError: ", check=False)
    assert set(sys.modules) == before


def test_missing_function_names_the_nearest(package):
    (package / "train.py").write_text("def trian(config, ctx): pass\n")
    refused("train.py:train", package, r"train\.py has no function train\. Did you mean trian\?")


def test_what_is_not_callable_is_refused(package):
    (package / "train.py").write_text("train = 3\n")
    refused("train.py:train", package, "train in train.py is (int|3), not a function")


def test_syntax_error_names_file_and_line(package):
    (package / "train.py").write_text("x = 1\ndef train(config:\n")
    refused("train.py:train", package, r"code/train\.py, line 2: '\(' was never closed")


def test_syntax_error_of_an_imported_module_names_that_file(package):
    (package / "user_broken.py").write_text("x = 1\n\ny = (\n")
    (package / "train.py").write_text("import user_broken\n" + FUNCTION)
    refused("train.py:train", package, r"code/user_broken\.py, line 3", check=False)


def test_check_refuses_async_functions(package):
    (package / "train.py").write_text("async def train(config, ctx): pass\n")
    refused("train.py:train", package, "train in train.py is async", resolve=False)


@pytest.mark.parametrize(("parameters", "count"), [("a, b, c", 3), ("", 0), ("*, config", 0)])
def test_check_refuses_other_parameters(package, parameters, count):
    (package / "train.py").write_text(f"\ndef train({parameters}): pass\n")
    refused("train.py:train", package, rf"needs {count} arguments, line 2.*def train\(config, ctx\)", resolve=False)


@pytest.mark.parametrize("parameters", ["config", "config, ctx", "config, ctx, extra=1", "*args"])
def test_check_accepts_parameters(package, parameters):
    (package / "train.py").write_text(f"def train({parameters}): pass\n")
    assert entrypoints.check("train.py:train", package)


@pytest.mark.parametrize(
    "text",
    [
        "from os import getcwd as train",
        "train = lambda config, ctx: None",
        "train: object = print",
        "other, train = print, print",
        "if True:\n    def train(config): pass",
        "try:\n    pass\nexcept ImportError:\n    def train(config): pass",
        "with open(__file__):\n    def train(config): pass",
        "from os.path import *",
        "def __getattr__(name): return print",
        "@print\ndef train(a, b, c): pass",
        "class train:\n    pass",
    ],
)
def test_check_finds_whatever_binds_the_name(package, text):
    (package / "train.py").write_text(text + "\n")
    assert entrypoints.check("train.py:train", package)


def test_check_does_not_take_inner_names_for_functions(package):
    (package / "train.py").write_text("class Model:\n    def train(self, config): pass\n")
    refused("train.py:train", package, "has no function train")


def test_check_of_our_own_training_function_imports_no_torch():
    code = textwrap.dedent("""
        import sys
        from sweep.training import entrypoints
        print(entrypoints.check("sweep.training.vision:train", "."), "torch" in sys.modules)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sweep.training.vision:train", "False"]


@pytest.mark.parametrize("module", ["sweep.training", "sweep.training.context", "sweep.training.attempt"])
def test_the_driver_imports_no_torch(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'ray', 'optuna', 'sklearn', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("function", "wants"),
    [
        (lambda config: None, False),
        (lambda config, ctx: None, True),
        (lambda *args: None, True),
        (lambda config, *, ctx=None: None, False),
    ],
)
def test_a_function_of_one_parameter_gets_no_context(function, wants):
    assert entrypoints.takes_context(function) is wants
