"""From the text `package.module:function` or `path/file.py:function` to the training function."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sweep.errors import EntrypointError

FORMS = "Write package.module:function, or path/file.py:function."
MOST_PARAMETERS = 2
"""`train(config, ctx)` or `train(config)`."""


def split(entrypoint: str) -> tuple[str, str]:
    """The module (or file) and the function that an entrypoint names.

    Raises:
        EntrypointError: it has another form.
    """
    source, colon, function = entrypoint.rpartition(":")
    if not colon or not source or not function.isidentifier():
        raise EntrypointError(f"entrypoint: got {entrypoint!r}. {FORMS}")
    if not source.endswith(".py") and not all(part.isidentifier() for part in source.split(".")):
        raise EntrypointError(f"entrypoint: {source!r} is neither a module's name nor a .py file. {FORMS}")
    return source, function


@contextmanager
def search_path(entrypoint: str, working_dir: str | Path | None) -> Iterator[None]:
    """Put the folders that an entrypoint may import from first on `sys.path`, and take them off afterwards."""
    source, _ = split(entrypoint)
    folders = [] if working_dir is None else [str(working_dir)]
    if source.endswith(".py"):
        folders.append(str((Path(working_dir or ".") / source).parent))
    before = list(sys.path)
    sys.path[:0] = folders
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def user_modules(entrypoint: str, working_dir: str | Path | None) -> Iterator[None]:
    """Forget at the end which modules of the user's own were imported, so that their globals start anew next time.

    Those are modules from the working directory and the entrypoint's folder; installed packages stay, even where a
    virtual environment lies in there, for many of them can't be imported twice.
    """
    source, _ = split(entrypoint)
    roots = [] if working_dir is None else [Path(working_dir).resolve()]
    if source.endswith(".py"):
        roots.append((Path(working_dir or ".") / source).resolve().parent)
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if _is_users(name, roots):
                sys.modules.pop(name, None)


def _is_users(name: str, roots: Iterable[Path]) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or name.partition(".")[0] == __package__.partition(".")[0]:
        return False
    path = Path(file).resolve()
    if path.suffix != ".py" or {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return any(path.is_relative_to(root) for root in roots)


def resolve(entrypoint: str, working_dir: str | Path | None = None) -> Callable[..., Any]:
    """Import the training function.

    A module is imported as always; a file anew each time, so that a change to it counts. Within `user_modules`, that
    goes for the user's modules too.

    Args:
        entrypoint: `package.module:function` or `path/file.py:function`; a relative path is one from `working_dir`.
        working_dir: a folder that modules may be imported from, beside those on `sys.path`.

    Raises:
        EntrypointError: the module isn't found, fails while it is imported, or has no such function.
    """
    source, name = split(entrypoint)
    with search_path(entrypoint, working_dir):
        module = _import_file(Path(working_dir or ".") / source) if source.endswith(".py") else _import(source)
    if not hasattr(module, name):
        raise EntrypointError(_no_function(source, name, vars(module)))
    function = getattr(module, name)
    if not callable(function):
        raise EntrypointError(f"entrypoint: {name} in {source} is {type(function).__name__}, not a function.")
    return function  # type: ignore[no-any-return]


def _import(name: str) -> ModuleType:
    with _import_errors(name):
        return importlib.import_module(name)


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise EntrypointError(f"entrypoint: there is no file {file}.")
    # The name is stable, so that what the module defines can be pickled in one process and found in another.
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    name = f"sweep_entrypoint_{file.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EntrypointError(f"entrypoint: {file} can't be read as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _import_errors(str(file)):
            spec.loader.exec_module(module)
    except EntrypointError:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _import_errors(source: str) -> Iterator[None]:
    """Tell what goes wrong during an import in words; the cause stays attached."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if source == missing or source.startswith(f"{missing}."):
            raise EntrypointError(_no_module(source, missing)) from error
        raise EntrypointError(
            f"entrypoint: {source} imports {missing}, which isn't installed here. Install it where the trials run."
        ) from error
    except SyntaxError as error:
        raise EntrypointError(_syntax(error)) from error
    except SystemExit as error:
        raise EntrypointError(
            f"entrypoint: importing {source} called sys.exit({error.code!r}). "
            'Put what only a script does under if __name__ == "__main__".'
        ) from error
    except Exception as error:
        raise EntrypointError(f"entrypoint: importing {source} failed: {type(error).__name__}: {error}") from error


def check(entrypoint: str, base_dir: str | Path, working_dir: str | Path | None = None) -> str:
    """Find the training function without running its module, and so without importing torch.

    The parents of a dotted module are imported, as Python's own search does.

    Args:
        entrypoint: as in the search file.
        base_dir: where a relative file is looked for first; modules are looked for here too.
        working_dir: where it is looked for next.

    Returns:
        The entrypoint with an absolute file, or unchanged when it names a module.

    Raises:
        EntrypointError: module, file or function isn't there, or can't be called as train(config, ctx).
    """
    source, name = split(entrypoint)
    file = _find(entrypoint, base_dir, working_dir)
    if file is not None:
        node = _definition(_parsed(file), source, name)
        if node is not None:
            _check_definition(node, source, name)
    return f"{file}:{name}" if source.endswith(".py") else entrypoint


def definition(
    entrypoint: str, base_dir: str | Path, working_dir: str | Path | None = None
) -> tuple[ast.Module | None, ast.stmt | None]:
    """The source of an entrypoint's module, and the statement there that binds the function; None for what has none.

    Takes and raises what `check` does.
    """
    source, name = split(entrypoint)
    file = _find(entrypoint, base_dir, working_dir)
    tree = None if file is None else _parsed(file)
    return tree, None if tree is None else _definition(tree, source, name)


def _find(entrypoint: str, base_dir: str | Path, working_dir: str | Path | None) -> Path | None:
    source, _ = split(entrypoint)
    if source.endswith(".py"):
        return _find_file(source, [base_dir, working_dir])
    with search_path(entrypoint, base_dir), search_path(entrypoint, working_dir):
        return _find_module(source)


def _find_file(source: str, folders: Iterable[str | Path | None]) -> Path:
    tried = list(dict.fromkeys((Path(folder) / source).resolve() for folder in folders if folder is not None))
    for file in tried:
        if file.is_file():
            return file
    raise EntrypointError(f"entrypoint: there is no file {' or '.join(map(str, tried))}.")


def _find_module(name: str) -> Path | None:
    """The module's source file; None for one without, e.g. an extension module."""
    with _import_errors(name):
        spec = importlib.util.find_spec(name)
    if spec is None:
        raise EntrypointError(_no_module(name, name))
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise EntrypointError(_syntax(error)) from error


def _definition(tree: ast.Module, source: str, name: str) -> ast.stmt | None:
    names = dict(_top_level(tree.body))
    if name not in names and not names.keys() & {"*", "__getattr__"}:  # either could provide any name
        raise EntrypointError(_no_function(source, name, names))
    return names.get(name)


def _check_definition(node: ast.stmt, source: str, name: str) -> None:
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
        raise EntrypointError(f"entrypoint: {name} in {source} is {node.value.value!r}, not a function.")
    if isinstance(node, ast.ClassDef) and any("Trainable" in ast.unparse(base) for base in node.bases):
        raise EntrypointError(
            f"entrypoint: {name} in {source} is a class of Ray Tune's. Write a function that calls tune.report, or "
            f"def {name}(config, ctx)."
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise EntrypointError(f"entrypoint: {name} in {source} is async. Make it a plain function.")
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:  # a decorator may change the parameters
        arguments = node.args
        positional = len(arguments.posonlyargs) + len(arguments.args)
        required = positional - len(arguments.defaults)
        if required > MOST_PARAMETERS or (positional == 0 and arguments.vararg is None):
            raise EntrypointError(
                f"entrypoint: {name} in {source} needs {required} arguments, line {node.lineno}. "
                f"Write def {name}(config, ctx), or def {name}(config)."
            )


def _top_level(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Each name that a module binds when it runs, with the statement that does."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield alias.asname or alias.name.partition(".")[0], node
            case ast.Assign():
                for target in node.targets:
                    yield from ((each.id, node) for each in ast.walk(target) if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case ast.If() | ast.For() | ast.While():
                yield from _top_level([*node.body, *node.orelse])
            case ast.With():
                yield from _top_level(node.body)
            case ast.Try():
                handled = [each for handler in node.handlers for each in handler.body]
                yield from _top_level([*node.body, *handled, *node.orelse, *node.finalbody])


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a training function wants `(config, ctx)` rather than `(config)` alone."""
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return True
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= MOST_PARAMETERS


def _no_module(source: str, missing: str) -> str:
    where = "" if missing == source else f" ({missing} isn't there)"
    places = ", ".join(each or "." for each in sys.path[:3])
    return f"entrypoint: no module {source}{where}. Looked in {places} and the installed packages."


def _no_function(source: str, name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [each for each in names if not each.startswith("_")], n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"entrypoint: {source} has no function {name}.{hint}"


def _syntax(error: SyntaxError) -> str:
    return f"entrypoint: {error.filename}, line {error.lineno}: {error.msg}."
