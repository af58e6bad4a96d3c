"""The small grammar of `constraints:` and `derived:`, from a text to functions that compute it.

    ternary     or [if or else ternary]
    or          and {"or" and}
    and         not {"and" not}
    not         "not" not | comparison
    comparison  sum {("==" | "!=" | "<" | "<=" | ">" | ">=") sum | ["not"] "in" list}
    sum         product {("+" | "-") product}
    product     signed {("*" | "/" | "//" | "%") signed}
    signed      ("-" | "+") signed | power
    power       atom ["**" signed]
    atom        number | text | name | "`" any name "`" | function "(" ternary {"," ternary} ")" | "(" ternary ")"
    list        "[" [ternary {"," ternary}] "]", or the same in round brackets

It means what it means in Python. An expression becomes functions of our own, and no name but a value's reaches them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from sweep.core.arithmetic import BINARY, COMPARISONS, FUNCTIONS, UNARY, Operation, bounded

LONGEST = 300
"""Characters of an expression."""

DEEPEST = 20
"""Brackets, signs and the like inside each other."""

_CONSTANTS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_WORDS = frozenset(("and", "or", "not", "in", "if", "else"))
_GRAMMAR = (
    f"numbers, texts, names, + - * / // % **, comparisons, in [...], and, or, not, if else, {', '.join(FUNCTIONS)}"
)
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?![A-Za-z0-9_.])
    |(?P<text>'[^'\\\n]*'|"[^"\\\n]*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |`(?P<quoted>[^`]+)`
    |(?P<sign>\*\*|//|[=!<>]=|[-+*/%<>()\[\],])
    )""",
    re.VERBOSE,
)
_HINTS = {
    "=": "Write == to compare",
    "&": "Write and",
    "|": "Write or",
    "!": "Write not, or != to compare",
    "^": "Write ** for a power",
    ".": "A point belongs into a number or between the parts of a name",
    "'": "The text doesn't end, or has a backslash",
    '"': "The text doesn't end, or has a backslash",
}

Values = Mapping[str, Any]
"""Name to value."""
Compute = Callable[[Values], Any]


class ExpressionError(ValueError):
    """The text isn't an expression, or has no value for these values; the message says where or why."""


class AbsentError(Exception):
    """The expression reads a name that has no value: of a parameter that isn't in use."""


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


class Part(NamedTuple):
    """A piece of an expression, ready to be computed, and whether it is true or false."""

    compute: Compute
    compares: bool = False


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            hint = _HINTS.get(text[at]) or f"The grammar has {_GRAMMAR}"
            if text[at].isdigit():
                hint = "A number is written 3, 0.5 or 1e-4"
            raise ExpressionError(_at(text, at, f"{text[at]!r} is not in the grammar. {hint}"))
        kind = found.lastgroup
        word, column = found[kind], found.start(kind)
        yield _Token("word" if kind == "name" and word in _WORDS else kind, word, column)
        place = found.end()
    yield _Token("end", "", len(text.rstrip()))


def _at(text: str, place: int, message: str) -> str:
    shown = text.strip() if len(text.strip()) <= 60 else text.strip()[:57] + "..."  # noqa: PLR2004  # one line
    return f"column {place + 1} of {shown!r}: {message}"


class Parser:
    """Recursive descent, a method a line of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0
        self.names: dict[str, None] = {}

    def whole(self) -> Part:
        """The whole text."""
        part = self._ternary()
        if self._now.kind != "end":
            raise self._unexpected("an operator or the end")
        return part

    # Tokens

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place]

    def _next_is(self, *texts: str) -> str | None:
        """The token's text, taken, when it is one of these signs or words."""
        token = self._now
        if token.kind in ("sign", "word") and token.text in texts:
            self._place += 1
            return token.text
        return None

    def _need(self, text: str) -> None:
        if self._next_is(text) is None:
            raise self._unexpected(repr(text))

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._now
        came = "it ends here" if token.kind == "end" else f"got {token.text!r}"
        return self._error(token, f"expected {wanted}, {came}")

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """One level down; bounded here, so that Python's own limit is never met, while parsing or later."""
        if self._depth >= DEEPEST:
            raise self._error(
                self._now, f"more than {DEEPEST} levels inside each other. Split it, with derived: values"
            )
        self._depth += 1
        yield
        self._depth -= 1

    def _error(self, token: _Token, message: str) -> ExpressionError:
        return ExpressionError(_at(self._text, token.column, message))

    # The grammar

    def _ternary(self) -> Part:
        yes = self._either()
        if not self._next_is("if"):
            return yes
        test = self._either()
        self._need("else")
        with self._deeper():
            no = self._ternary()

        def compute(values: Values) -> Any:
            return yes.compute(values) if test.compute(values) else no.compute(values)

        return Part(compute, compares=yes.compares and no.compares)

    def _either(self) -> Part:
        left = self._both()
        while self._next_is("or"):
            left = self._joined(left, self._both(), stops_at=True)
        return left

    def _both(self) -> Part:
        left = self._negated()
        while self._next_is("and"):
            left = self._joined(left, self._negated(), stops_at=False)
        return left

    @staticmethod
    def _joined(left: Part, right: Part, *, stops_at: bool) -> Part:
        def compute(values: Values) -> Any:
            first = left.compute(values)
            return first if bool(first) is stops_at else right.compute(values)

        return Part(compute, compares=True)  # or an operand's value, as in Python; true or false is what counts

    def _negated(self) -> Part:
        if not self._next_is("not"):
            return self._comparison()
        with self._deeper():
            inner = self._negated()
        return Part(lambda values: not inner.compute(values), compares=True)

    def _comparison(self) -> Part:
        first = self._sum()
        links: list[tuple[Operation, Compute]] = []
        while True:
            if sign := self._next_is(*COMPARISONS):
                links.append((COMPARISONS[sign], self._sum().compute))
                continue
            turned = self._next_is("not") is not None
            if self._next_is("in"):
                links.append((_absent if turned else _among, self._list()))
            elif turned:
                raise self._unexpected("'in'")
            break  # nothing is compared with a list
        return Part(_chained(first.compute, links), compares=True) if links else first

    def _list(self) -> Compute:
        bracket = self._next_is("[", "(")
        if bracket is None:
            raise self._unexpected("a list such as [16, 32]")
        closing = "]" if bracket == "[" else ")"
        items: list[Compute] = []
        while not self._next_is(closing):
            items.append(self._ternary().compute)
            if not self._next_is(","):
                self._need(closing)
                break
        return lambda values: [item(values) for item in items]

    def _sum(self) -> Part:
        return self._row(self._product, "+", "-")

    def _product(self) -> Part:
        return self._row(self._signed, "*", "/", "//", "%")

    def _row(self, inner: Callable[[], Part], *signs: str) -> Part:
        left = inner()
        while sign := self._next_is(*signs):
            left = _applied(BINARY[sign], left, inner())
        return left

    def _signed(self) -> Part:
        if sign := self._next_is("-", "+"):
            with self._deeper():
                return _applied(UNARY[sign], self._signed())
        base = self._atom()
        if not self._next_is("**"):
            return base
        with self._deeper():
            return _applied(BINARY["**"], base, self._signed())

    def _atom(self) -> Part:
        token = self._now
        if self._next_is("("):
            with self._deeper():
                inner = self._ternary()
            self._need(")")
            return inner
        if token.kind not in ("number", "text", "name", "quoted"):
            raise self._unexpected("a value")
        self._place += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind == "text":
            return _constant(token.text[1:-1])
        if token.kind == "name" and self._next_is("("):
            return self._call(token)
        if token.kind == "name" and token.text in _CONSTANTS:
            value = _CONSTANTS[token.text]
            return Part(lambda _: value, compares=isinstance(value, bool))
        self.names[token.text] = None
        return _named(token.text)

    def _number(self, token: _Token) -> Part:
        try:
            return _constant(bounded(int(token.text) if token.text.isdigit() else float(token.text)))
        except ValueError as error:
            raise self._error(token, str(error)) from error

    def _call(self, token: _Token) -> Part:
        if token.text not in FUNCTIONS:
            raise self._error(token, f"{token.text!r} is no function. A function is one of {', '.join(FUNCTIONS)}")
        arguments: list[Part] = []
        while not self._next_is(")"):
            with self._deeper():
                arguments.append(self._ternary())
            if not self._next_is(","):
                self._need(")")
                break
        function, fewest, most = FUNCTIONS[token.text]
        if not fewest <= len(arguments) <= most:
            takes = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise self._error(token, f"{token.text}() takes {takes} values, got {len(arguments)}")
        return _applied(function, *arguments)


def _constant(value: Any) -> Part:
    return Part(lambda _: value)


def _named(name: str) -> Part:
    def compute(values: Values) -> Any:
        if name not in values:
            raise AbsentError(name)
        return bounded(values[name])

    return Part(compute)


def _applied(operation: Operation, *parts: Part) -> Part:
    computes = [part.compute for part in parts]
    if len(computes) == 1:
        only = computes[0]
        return Part(lambda values: operation(only(values)))
    return Part(lambda values: operation(*[compute(values) for compute in computes]))


def _chained(first: Compute, links: list[tuple[Operation, Compute]]) -> Compute:
    """`a < b <= c`: each value is computed once, and nothing after the first that is false."""

    def compute(values: Values) -> bool:
        left = first(values)
        for operation, right_of in links:
            right = right_of(values)
            if not operation(left, right):
                return False
            left = right
        return True

    return compute


def _among(value: Any, items: list[Any]) -> bool:
    return value in items


def _absent(value: Any, items: list[Any]) -> bool:
    return value not in items
