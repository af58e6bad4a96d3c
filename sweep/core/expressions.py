"""The small grammar of `constraints:` and `derived:`: arithmetic, comparisons, a few functions; never eval."""

from __future__ import annotations

import ast
import warnings

FUNCTIONS = ("abs", "max", "min", "round")
_LONGEST = 200
_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Load,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub, ast.UAdd,
    ast.And, ast.Or, ast.Not, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


def names_in(expression: str) -> list[str]:
    """The parameters that an expression reads, in order of appearance.

    Raises:
        ValueError: it isn't an expression of the grammar; the text says which part.
    """
    if len(expression) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    tree = _parsed(expression)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(  # noqa: TRY004  # the text has the wrong content, not the wrong type
                f"{type(node).__name__.lower()} is not in the grammar: numbers, texts, names, "
                f"+ - * / // % **, comparisons, and, or, not, {', '.join(FUNCTIONS)}"
            )
        if isinstance(node, ast.Call) and not _known_call(node):
            raise ValueError(f"a function is one of {', '.join(FUNCTIONS)}")
        if isinstance(node, ast.Name) and id(node) not in called:
            names[node.id] = None
    return list(names)


def compares(expression: str) -> bool:
    """Whether an expression that `names_in` accepts is true or false, as a constraint has to be."""
    return isinstance(_parsed(expression).body, ast.Compare | ast.BoolOp) or expression.startswith("not ")


def _parsed(expression: str) -> ast.Expression:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "invalid escape sequence": not the reader's concern
            return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{expression!r} is not an expression") from error


def _known_call(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords
