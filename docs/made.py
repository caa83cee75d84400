"""Reference pages made from the code: the directive ``made`` puts in a page what a function here returns as Markdown.

A page has the words that only a person can write; names, defaults and shapes are asked of the package when the site is
built, so that they cannot be wrong.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_gpupool
from pytest_gpupool.cli import main as program
from pytest_gpupool.options import declarations
from pytest_gpupool.reports.json import schema_text
from pytest_gpupool.values import errors as errors_of_the_package
from pytest_gpupool.values import requirement
from pytest_gpupool.worker import fixtures

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx

_DEFAULT = re.compile(r"default:? ([^;)\]]+)")
_WIDTH = "96"
_PACKAGE = Path(pytest_gpupool.__file__).parent


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(list(head)), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Return it as code within a line."""
    return f"`{text}`" if text else ""


@dataclass
class Declared:
    """Stands in for pytest's parser, and its groups: remembers what is declared."""

    options: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    inis: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def getgroup(self, *_: str) -> Declared:
        """Return the one group."""
        return self

    def addoption(self, name: str, **keys: Any) -> None:
        """Remember an option."""
        self.options[name] = keys

    def addini(self, name: str, help: str, type: str = "string", default: Any = None) -> None:
        """Remember an ini value."""
        self.inis[name] = (help, default)


def declared() -> Declared:
    """Return the options and ini values that the package declares."""
    parser = Declared()
    declarations.add_options(parser)  # type: ignore[arg-type]
    return parser


def _default(help_text: str, keys: Mapping[str, Any]) -> str:
    if keys.get("action") == "store_true":
        return "off"
    found = _DEFAULT.search(help_text)
    return code(found[1].split(" (")[0]) if found else "–"


def options_table() -> str:
    """Return every option of pytest, with its ini twin."""
    rows = []
    for name, keys in sorted(declared().options.items()):
        metavar = keys.get("metavar", "")
        shown = f"[={metavar}]" if keys.get("nargs") == "?" else f"={metavar}" if metavar else ""
        rows.append((code(name + shown), code(name[2:].replace("-", "_")), _default(keys["help"], keys), keys["help"]))
    return table(("option", "ini value", "default", "meaning"), rows)


def ini_table() -> str:
    """Return the ini values that are no option."""
    known = declared()
    twins = {name[2:].replace("-", "_") for name in known.options}
    rows = [(code(name), _cell_of(default), text) for name, (text, default) in known.inis.items() if name not in twins]
    return table(("ini value", "default", "meaning"), rows)


def _cell_of(default: Any) -> str:
    return "–" if default in (None, []) else "on" if default is True else code(str(default))


def marker_table() -> str:
    """Return the keys of the marker, with what each may be."""
    keys: Mapping[str, tuple[Any, str]] = vars(requirement)["_KEYS"]
    rows = [(code(f"{name}={getattr(requirement.USUAL, name)!r}"), expected) for name, (_, expected) in keys.items()]
    return table(("key, as where it is left out", "what it takes"), rows)


def fixtures_text() -> str:
    """Return each fixture with its signature and docstring."""
    return "\n\n".join(_fixture(name, function) for name, function in _fixtures())


def _fixtures() -> Iterator[tuple[str, Callable[..., object]]]:
    for name, value in vars(fixtures).items():
        function = getattr(value, "_get_wrapped_function", lambda: None)()
        if function is not None:
            yield name, function


def _fixture(name: str, function: Callable[..., object]) -> str:
    about = _prose(str(inspect.getdoc(function)))
    called = _call_of(function)
    head = f"### `{name}`\n\n"
    return head + (f"```python\n{name}{called}\n```\n\n" if called else "") + about


def _call_of(function: Callable[..., object]) -> str:
    """Return the signature of what a fixture gives, where that is called: of the protocol that its type names."""
    protocol = vars(fixtures).get(str(inspect.signature(function).return_annotation))
    call = vars(protocol).get("__call__") if isinstance(protocol, type) else None
    if call is None:
        return ""
    signature = inspect.signature(call)
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    text = str(signature.replace(parameters=parameters)).replace("'", "")
    return text if len(text) < 100 else _broken(signature, parameters)


def _broken(signature: inspect.Signature, parameters: list[inspect.Parameter]) -> str:
    lines, is_keyword = [], False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not is_keyword:
            is_keyword = True
            lines.append("    *,")
        lines.append("    " + str(one).replace("'", "") + ",")
    return "\n".join(["(", *lines, f") -> {signature.return_annotation}"])


def _prose(docstring: str) -> str:
    """Return a docstring as Markdown: reStructuredText's double backticks and roles are a single one's."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", docstring).replace("``", "`")
    return re.sub(r"^Raises:\n", "Raises:\n\n", text, flags=re.MULTILINE)


def said(*arguments: str) -> str:
    """Return what the program gpupool prints for arguments after which it ends."""
    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            program.main(list(arguments))
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def commands() -> list[str]:
    """Return the program's commands, in the order in which its help has them."""
    listed = said("--help").partition("COMMAND\n")[2]
    return re.findall(r"^    (\w[\w-]*) ", listed, re.MULTILINE)


def commands_text() -> str:
    """Return the help of each command."""
    parts = [f"```text\n{said('--help').rstrip()}\n```"]
    for command in commands():
        told = said(command, "--help").rstrip()
        parts.append(f"## `gpupool {command}`\n\n```text\n{told}\n```")
    return "\n\n".join(parts)


def schema_tables() -> str:
    """Return the JSON report, object by object."""
    schema = json.loads(schema_text())
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in _objects("the report", schema, schema))


def _objects(title: str, shape: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    shape = _resolved(shape, schema)
    rows, below = [], []
    for name, declared_as in shape.get("properties", {}).items():
        value = _resolved(declared_as, schema)
        rows.append((code(name), _type(value, schema), "" if name in shape.get("required", ()) else "may be missing"))
        inner = _inner(value, schema)
        if inner is not None:
            path = name if title == "the report" else f"{title}.{name}".replace("`", "")
            below.append((f"`{path}`", inner))
    yield title, table(("key", "type", ""), rows)
    for path, inner in below:
        yield from _objects(path, inner, schema)


def _resolved(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in shape:
        target: Any = schema
        for part in shape["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        shape = target
    return shape


def _inner(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the object that a value is, or that a list has, where its keys are named."""
    for one in (shape, *shape.get("anyOf", ()), *shape.get("oneOf", ())):
        found = _resolved(one, schema)
        if found.get("properties"):
            return found
        if "items" in found and (inner := _inner(_resolved(found["items"], schema), schema)) is not None:
            return inner
    return None


def _type(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    shape = _resolved(shape, schema)
    if "enum" in shape:
        return ", ".join(code(json.dumps(value)) for value in shape["enum"])
    if "const" in shape:
        return code(json.dumps(shape["const"]))
    if parts := shape.get("anyOf") or shape.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(part, schema) for part in parts))
    kind = shape.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"list of {_type(shape['items'], schema)}" if kind == "array" and "items" in shape else text


@dataclass(frozen=True, kw_only=True)
class _Error:
    """An exception of the package's: of which others it is one, and with which status a run ends."""

    bases: tuple[str, ...]
    status: int | None


def messages_table() -> str:
    """Return what the package raises on purpose, with what differs as ``…``: by the status, each message once."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(_PACKAGE.rglob("*.py"))]
    errors = {node.name: _error(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found = {
        (status, message)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and (message := _message(node)) and (status := _status(node, errors)) is not None
    }
    return table(("exit status", "message"), [(str(status), message) for status, message in sorted(found)])


def _error(node: ast.ClassDef) -> _Error:
    told = [
        line.value
        for line in node.body
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "exit_status"
    ]
    status = vars(errors_of_the_package).get(ast.unparse(told[0])) if told else None
    if told and isinstance(told[0], ast.Constant) and isinstance(told[0].value, int):
        status = told[0].value
    return _Error(bases=tuple(ast.unparse(base).split(".")[-1] for base in node.bases), status=status)


def _status(node: ast.Raise, errors: Mapping[str, _Error]) -> int | None:
    """Return the status of what is raised, None where that is no error of the package's."""
    assert isinstance(node.exc, ast.Call)
    waiting = [ast.unparse(node.exc.func).split(".")[-1]]
    while waiting:
        error = errors.get(waiting.pop(0))
        if error is not None and error.status is not None:
            return error.status
        waiting += error.bases if error is not None else ()
    return None


def _message(node: ast.Raise) -> str | None:
    """Return its message, None where it is made elsewhere, or is nothing but what differs."""
    if not (isinstance(node.exc, ast.Call) and node.exc.args):
        return None
    parts = node.exc.args[0].values if isinstance(node.exc.args[0], ast.JoinedStr) else [node.exc.args[0]]
    if not all(isinstance(part, ast.FormattedValue | ast.Constant) for part in parts):
        return None
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
    return text.replace("<", "\\<").replace("*", "\\*") if len(re.findall(r"\w+", text)) > 2 else None


MADE: Mapping[str, Callable[[], str]] = {
    "options": options_table,
    "ini": ini_table,
    "marker": marker_table,
    "fixtures": fixtures_text,
    "commands": commands_text,
    "schema": schema_tables,
    "messages": messages_table,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Declare the directive to Sphinx."""
    from sphinx.util.docutils import SphinxDirective

    class Made(SphinxDirective):
        """Puts what a function returns in its place."""

        required_arguments = 1

        def run(self) -> list[Node]:
            self.env.note_dependency(__file__)
            return self.parse_text_to_nodes(MADE[self.arguments[0]](), allow_section_headings=True)

    app.add_directive("made", Made)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
