"""Documented functions of the running Python's standard library, split into queries and sources."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

MINIMUM_QUERY_WORDS = 4
FUNCTIONS_PER_FILE = 25
HELD_OUT_FRACTION = 0.2


@dataclass(frozen=True)
class Corpus:
    """Queries and sources: `queries[i]` describes `sources[i]`."""

    queries: list[str]
    sources: list[str]
    training: Tensor
    held_out: Tensor


def load_corpus(max_functions: int) -> Corpus:
    """Read the first functions of the library and hold out a fifth of their queries, always the same ones."""
    directory = Path(sysconfig.get_paths()["stdlib"])
    # A dictionary, because a sentence that describes two functions is no query with one right answer.
    pairs: dict[str, str] = {}
    for path in sorted(directory.glob("*.py")):
        for query, source in islice(documented_functions(path), FUNCTIONS_PER_FILE):
            pairs.setdefault(query, source)
    queries, sources = zip(*islice(pairs.items(), max_functions), strict=True)
    order = torch.randperm(len(queries), generator=torch.Generator().manual_seed(0))
    held_out, training = order.tensor_split([round(HELD_OUT_FRACTION * len(queries))])
    return Corpus(list(queries), list(sources), training, held_out)


def documented_functions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (first sentence of the docstring, source without the docstring) for a file's functions."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return  # Some installations have unreadable, oddly encoded or deliberately broken files.
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            query = first_sentence(ast.get_docstring(node) or "")
            source = source_without_docstring(node, lines)
            if source and len(words(query)) >= MINIMUM_QUERY_WORDS:
                yield query, source


def first_sentence(docstring: str) -> str:
    """Return the text up to the first full stop or blank line, on one line."""
    sentence = re.split(r"(?<=[.!?])\s|\n\s*\n", docstring.strip(), maxsplit=1)[0]
    return " ".join(sentence.split())


def source_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """Return a function's source lines, or "" where nothing but the docstring would be its body."""
    docstring, *body = node.body
    if not body or docstring.end_lineno is None or node.end_lineno is None:
        return ""
    before = lines[node.lineno - 1 : docstring.lineno - 1]
    after = lines[docstring.end_lineno : node.end_lineno]
    return "\n".join(before + after)


def words(text: str) -> list[str]:
    """Split text into lower-case words, and identifiers such as `readLine` or `read_line` into theirs."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", text)]
