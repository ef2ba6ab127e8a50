"""Every single change to the mathematics of a source file: pure functions of its text.

A change replaces one piece of the text and leaves the rest as it is, byte by byte. Left alone is what is no
mathematics: docstrings and annotations, messages, imports, checks of arguments, and the sizes and tolerances
that a function takes by default.
"""

import ast
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator

KINDS = ("sign", "operator", "term", "argument", "constant", "off by one", "axis")

_NOT_MATHEMATICS = re.compile(r"_*(check|require|refuse|warn|describe|repr|str|init_subclass)\w*")
_CHECKS = re.compile(
    r"_*(check|require|refuse|warn|is_?instance|is_?subclass|has_?attr|get_?attr)\w*"
)
_OF_A_KIND = re.compile(
    r"(key|model|_fn|energy|path|kernel|target|state|tree|params|self|potential|law)s?$"
)
_SIGN = {ast.Add: "-", ast.Sub: "+"}
_OPERATOR = (
    {ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "//", ast.Pow: "*"}
    | {ast.BitAnd: "|", ast.BitOr: "&", ast.And: "or", ast.Or: "and"}
    | {ast.Lt: ">", ast.Gt: "<", ast.LtE: ">=", ast.GtE: "<=", ast.Eq: "!=", ast.NotEq: "=="}
)
_BOUNDARY = {ast.Lt: "<=", ast.Gt: ">=", ast.LtE: "<", ast.GtE: ">"}
_SYMBOL = (
    {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
    | {ast.Pow: "**", ast.BitAnd: "&", ast.BitOr: "|", ast.And: "and", ast.Or: "or"}
    | {ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
)
_COUNTERPARTS = {"sum": "mean", "mean": "sum", "std": "var", "var": "std", "cumsum": "cumprod"} | {
    one: other
    for pair in (
        *(("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all")),
        *(("sin", "cos"), ("floor", "ceil"), ("log", "log1p"), ("exp", "expm1")),
        *(("sqrt", "square"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("left", "right")),
    )
    for one, other in (pair, pair[::-1])
}
_LIBRARIES = {
    "jnp",
    "np",
    "lax",
    "jax",
    "math",
    "special",
    "nn",
    "numpy",
    "linalg",
    "optax",
    "stats",
}
_METHODS = {"sum", "mean", "min", "max", "any", "all", "argmin", "argmax", "std", "var", "cumsum"}
_WRAPPERS = {"exp", "log", "sqrt", "square", "abs", "stop_gradient", "tanh", "log1p", "expm1"}
_WITH_AXIS = _METHODS | {
    "stack",
    "concatenate",
    "softmax",
    "log_softmax",
    "logsumexp",
    "sort",
    "diff",
}
_COMMUTE = {"maximum", "minimum", "add", "multiply", "logaddexp", "equal", "allclose", "hypot"}
_NO_DATA_FIRST = {
    *("zip", "range", "map", "print", "setattr", "partial", "reshape", "broadcast_to", "full", "cast"),
    *("zeros", "ones", "normal", "uniform", "gumbel", "split", "fold_in", "vmap", "scan", "enumerate"),
    *("fori_loop", "while_loop", "round", "astype", "swapaxes", "moveaxis", "replace", "field", "sum"),
    *("bernoulli", "categorical", "permutation", "choice", "randint", "einsum", "expand_dims", "eval_shape"),
    *("array", "asarray", "eye", "repeat", "tile", "transpose", "clip", "isinstance", "tree_at", "switch"),
}  # fmt: skip
_ATOMS = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant)
_TEXT_OR_LISTS = (
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Set,
    ast.ListComp,
    ast.DictComp,
    ast.SetComp,
    ast.JoinedStr,
)
_SHORT = 12
_COUNTED = {"range", "arange"}


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of a file.

    Attributes:
        file: Path from the root of the checkout, with slashes.
        function: Qualified name of the function around it.
        kind: One of `KINDS`.
        line: Line on which it begins.
        start: Where it begins in the file's bytes.
        end: Where it ends.
        before: What stands there.
        after: What stands there instead.
        text: The change in words, which moves with the code as a number of a line does not.
    """

    file: str
    function: str
    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str
    text: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a list of changes knows it by, wherever in the file it comes to stand."""
        return self.file, self.function, self.text

    def apply(self, source: bytes) -> bytes:
        """The file with this change."""
        assert source[self.start : self.end].decode() == self.before, "the source has changed"
        return source[: self.start] + self.after.encode() + source[self.end :]


def changes_of(file: str, source: bytes) -> list[Change]:
    """All single changes of one file, in the order of the text.

    Args:
        file: Path from the root of the checkout.
        source: What the file holds.
    """
    found = _Visitor(file, source)
    found.visit(ast.parse(source))
    seen: set[tuple[int, int, str]] = set()
    counts: Counter[tuple[str, str]] = Counter()
    changes = []
    for change in sorted(
        found.changes, key=lambda change: (change.start, change.end, change.after)
    ):
        if (change.start, change.end, change.after) in seen:
            continue
        seen.add((change.start, change.end, change.after))
        text = _in_words(change, source)
        counts[change.function, text] += 1
        nth = counts[change.function, text]
        changes.append(dataclasses.replace(change, text=f"{text} (#{nth})" if nth > 1 else text))
    return changes


def _in_words(change: Change, source: bytes) -> str:
    """What stands there and what stands there instead; of a single number, the line around it."""
    start, end = change.start, change.end
    if len(change.before) < _SHORT:
        start, end = source.rfind(b"\n", 0, start) + 1, source.find(b"\n", end)
    head, tail = source[start : change.start].decode(), source[change.end : end].decode()
    before, after = head + change.before + tail, head + change.after + tail
    return f"{_one_line(before)} → {_one_line(after)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def is_a_program(change: Change, source: bytes) -> bool:
    """Whether the change leaves a program, and another one."""
    try:
        return ast.dump(ast.parse(change.apply(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def _called(node: ast.Call) -> str:
    """Last part of the name of what is called; empty if it has none."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _of_a_library(node: ast.Call) -> bool:
    """Whether a function of JAX, NumPy, SciPy or `math` is called."""
    owner = node.func
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return (
        isinstance(node.func, ast.Attribute)
        and isinstance(owner, ast.Name)
        and owner.id in _LIBRARIES
    )


def _integer(node: ast.AST) -> int | None:
    """The integer that is written there, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _integer(node.operand)
        return None if value is None else -value
    is_integer = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if is_integer else None  # type: ignore[attr-defined]


def _counts(node: ast.AST) -> bool:
    """Whether an operand is a whole number by its looks."""
    return (
        _integer(node) is not None
        or (isinstance(node, ast.Attribute) and node.attr in ("ndim", "size"))
        or (isinstance(node, ast.Call) and _called(node) == "len")
        or (isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".shape"))
    )


def _refuses(node: ast.If) -> bool:
    """Whether a condition leads to a refusal or a warning and nothing else."""
    return all(
        isinstance(part, ast.Raise)
        or (
            isinstance(part, ast.Expr)
            and isinstance(part.value, ast.Call)
            and _CHECKS.fullmatch(_called(part.value)) is not None
        )
        for part in node.body
    )


class _Visitor(ast.NodeVisitor):
    """Collects changes on its way down; what is no mathematics it does not enter."""

    def __init__(self, file: str, source: bytes) -> None:
        self.changes: list[Change] = []
        self._file, self._source = file, source
        lengths = [len(line) for line in source.splitlines(keepends=True)]
        self._lines = [sum(lengths[:number]) for number in range(len(lengths) + 1)]
        self._scope: list[str] = []
        self._in_function = False

    # Where to look.

    def visit_Module(self, node: ast.Module) -> None:
        self._enter(part for part in node.body if isinstance(part, ast.FunctionDef | ast.ClassDef))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scope.append(node.name)
        self._enter(part for part in node.body if isinstance(part, ast.FunctionDef | ast.ClassDef))
        self._scope.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if _NOT_MATHEMATICS.fullmatch(node.name):
            return
        outside, self._in_function = self._in_function, True
        self._scope.append(node.name)
        self._enter(node.body)
        self._scope.pop()
        self._in_function = outside

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_If(self, node: ast.If) -> None:
        if not _refuses(node):
            self._enter([node.test, *node.body])
        self._enter(node.orelse)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Messages are no mathematics."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """What is said to a type checker is none either."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text."""

    def _enter(self, nodes: Iterator[ast.AST] | list) -> None:
        for node in nodes:
            self.visit(node)

    # What to change.

    def visit_BinOp(self, node: ast.BinOp) -> None:
        parts = (node.left, node.right)
        if any(isinstance(part, _TEXT_OR_LISTS) or _is_text(part) for part in parts):
            self._enter(list(parts))
            return
        self._between(node, node.op, node.left, node.right)
        left, right = self._operand(node.left), self._operand(node.right)
        if isinstance(node.op, ast.Add | ast.Mult):
            self._replace(node, right, "term")
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            self._replace(node, left, "term")
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
            self._replace(node, f"{right} {_SYMBOL[type(node.op)]} {left}", "argument")
        for part in parts:
            self._number(part, node.op)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(node, node.op, left, right)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if any(_is_text(side) for side in sides):
            return
        for op, left, right in zip(node.ops, sides[:-1], sides[1:], strict=True):
            self._between(node, op, left, right)
            if _counts(left) or _counts(right):
                self._symbol(node, op, left, right, _BOUNDARY, "off by one")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub) and _integer(node) is None:
            self._replace(node, self._operand(node.operand), "sign")
        elif isinstance(node.op, ast.Invert | ast.Not):
            self._replace(node, self._operand(node.operand), "operator")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass", "term")
        symbol = _SIGN.get(type(node.op)) or _OPERATOR.get(type(node.op))
        if symbol is not None:
            target, value = self._text(node.target), self._text(node.value)
            kind = "sign" if type(node.op) in _SIGN else "operator"
            self._replace(node, f"{target} {symbol}= {value}", kind)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        bounds = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for bound in bounds:
            ends = [bound.lower, bound.upper] if isinstance(bound, ast.Slice) else [bound]
            for end in ends:
                self._off_by_one(end)
        self.visit(node.value)
        self.visit(node.slice)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ("T", "mT"):
            self._replace(node, self._operand(node.value), "axis")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if _CHECKS.fullmatch(name) or name.endswith(("Error", "Warning", "__init__")):
            return
        library, method = _of_a_library(node), isinstance(node.func, ast.Attribute)
        if name in _COUNTERPARTS and (library or (method and name in _METHODS)):
            self._rename(node, name)
        if library and name in _WRAPPERS and len(node.args) == 1:
            self._replace(node, self._operand(node.args[0]), "term")
        self._swap(node, name, library=library)
        self._axes(node, name, library=library)
        if name in _COUNTED:
            self._count(node)
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self._float(argument)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self._float(node.value)
            self.visit(node.value)

    # How to change it.

    def _between(self, node: ast.expr, op: ast.AST, left: ast.AST, right: ast.AST) -> None:
        table, kind = (_SIGN, "sign") if type(op) in _SIGN else (_OPERATOR, "operator")
        self._symbol(node, op, left, right, table, kind)

    def _symbol(
        self, node: ast.expr, op: ast.AST, left: ast.AST, right: ast.AST, table: dict, kind: str
    ) -> None:
        """Another symbol between two operands; the rest of the expression stays as it is written."""
        if type(op) not in table:
            return
        start, end = self._span(node)
        gap_start, gap_end = self._span(left)[1], self._span(right)[0]
        gap = self._source[gap_start:gap_end].decode()
        if "#" in gap or gap.count(_SYMBOL[type(op)]) != 1:
            return
        changed = gap.replace(_SYMBOL[type(op)], table[type(op)]).encode()
        after = self._source[start:gap_start] + changed + self._source[gap_end:end]
        self._add(node, start, end, after.decode(), kind)

    def _number(self, node: ast.AST, op: ast.operator) -> None:
        """Another number beside an operator: one more if it counts, twice as much if it scales."""
        if isinstance(op, ast.Add | ast.Sub | ast.FloorDiv | ast.Mod):
            self._off_by_one(node)
        elif (value := _integer(node)) is not None:
            self._replace(node, str(value + 1), "constant")
        self._float(node)

    def _off_by_one(self, node: ast.AST | None) -> None:
        if node is not None and (value := _integer(node)) is not None:
            self._replace(node, str(value + 1 if value >= 0 else value - 1), "off by one")

    def _float(self, node: ast.AST) -> None:
        """A number of ordinary size becomes twice as large; smaller and larger ones are tolerances."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node = node.operand
        if not (isinstance(node, ast.Constant) and isinstance(node.value, float)):
            return
        if node.value == 0.0:
            self._replace(node, "1.0", "constant")
        elif 1e-2 <= node.value <= 1e2:
            self._replace(node, repr(2 * node.value), "constant")

    def _rename(self, node: ast.Call, name: str) -> None:
        assert isinstance(node.func, ast.Attribute)
        owner = self._text(node.func.value)
        arguments = self._source[self._span(node.func)[1] : self._span(node)[1]].decode()
        self._replace(node, f"{owner}.{_COUNTERPARTS[name]}{arguments}", "operator")

    def _swap(self, node: ast.Call, name: str, *, library: bool) -> None:
        """Two positional arguments that stand where each other could."""
        first = 1 if name in ("where", "cond", "map", "tree_map") else 0
        pair = node.args[first : first + 2]
        if len(pair) < 2 or any(isinstance(part, ast.Starred) for part in pair):
            return
        if name in _NO_DATA_FIRST and first == 0:
            return
        if name[:1].isupper() or name in _COMMUTE or any(_is_text(part) for part in pair):
            return
        if not library and any(_is_no_number(part) for part in pair):
            return
        one, other = self._text(pair[0]), self._text(pair[1])
        start, end = self._span(node)
        left, right = self._span(pair[0]), self._span(pair[1])
        between = self._source[left[1] : right[0]].decode()
        head, tail = self._source[start : left[0]].decode(), self._source[right[1] : end].decode()
        self._add(node, start, end, head + other + between + one + tail, "argument")

    def _axes(self, node: ast.Call, name: str, *, library: bool) -> None:
        """The neighbouring axis, named or in its place."""
        named = [word.value for word in node.keywords if word.arg == "axis"]
        place = 1 if library else 0
        if name in _WITH_AXIS and (library or name in _METHODS):
            named += node.args[place : place + 1]
        for axis in named:
            if (value := _integer(axis)) is not None:
                other = {0: 1, 1: 0, -1: -2, -2: -1}.get(value, value - 1)
                self._replace(axis, str(other), "axis")

    def _count(self, node: ast.Call) -> None:
        """One number less in a range."""
        if 1 <= len(node.args) <= 2 and _integer(node.args[-1]) is None:
            last = self._operand(node.args[-1])
            self._replace(node.args[-1], f"{last} - 1", "off by one")
        if len(node.args) >= 2:
            self._off_by_one(node.args[0])

    def _operand(self, node: ast.AST) -> str:
        """The text of an expression, which can stand anywhere."""
        text = self._text(node)
        return text if isinstance(node, _ATOMS) else f"({text})"

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _span(self, node) -> tuple[int, int]:
        return (
            self._lines[node.lineno - 1] + node.col_offset,
            self._lines[node.end_lineno - 1] + node.end_col_offset,
        )

    def _replace(self, node: ast.AST, after: str, kind: str) -> None:
        self._add(node, *self._span(node), after, kind)

    def _add(self, node, start: int, end: int, after: str, kind: str) -> None:
        if self._in_function:
            function, before = ".".join(self._scope), self._source[start:end].decode()
            change = Change(self._file, function, kind, node.lineno, start, end, before, after)
            self.changes.append(change)


def _is_no_number(node: ast.AST) -> bool:
    """Whether an argument is of a kind of its own, so that no other could stand in its place."""
    return (
        isinstance(node, ast.Constant | ast.Lambda)
        or _OF_A_KIND.search(ast.unparse(node)) is not None
    )


def _is_text(node: ast.AST) -> bool:
    """Whether something is no number by its looks: a string, `None`, a type."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes | None)
    return isinstance(node, ast.JoinedStr)
