"""Forks: a child that this process forks has copies of all that is ours, which must not act there."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import NoReturn
from weakref import WeakMethod

from .system import os

_Methods = list[WeakMethod[Callable[[], None]]]

_BEFORE: _Methods = []
_IN_PARENT: _Methods = []
_IN_CHILD: _Methods = []


class Owner:
    """The process that has made something."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = os.getpid() if pid is None else pid

    @property
    def is_here(self) -> bool:
        """Whether this is that process, and not one that was forked from it."""
        return os.getpid() == self._pid


def in_child(method: Callable[[], None]) -> None:
    """Have a bound method called in each child that this process forks from now on, as long as its object lives.

    The start of a program is no fork here. The thread that forks calls all of these.
    """
    _add(_IN_CHILD, method)


def in_parent(method: Callable[[], None]) -> None:
    """Have it called in this process, once the child is there."""
    _add(_IN_PARENT, method)


def before(method: Callable[[], None]) -> None:
    """Have it called before each fork."""
    _add(_BEFORE, method)


class Border:
    """See that who enters this is who leaves it: a child that is forked meanwhile, and comes here, ends with a word.

    ``where`` is the test that has forked it. No generator, since each test enters several of these.
    """

    __slots__ = ("_pid", "_where")

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        self._pid = os.getpid()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if os.getpid() != self._pid:
            _end(self._where, error)


def _end(where: str, error: BaseException | None) -> NoReturn:
    """End this process at once, as whoever has forked it should have: the rest of what it has is its parent's."""
    code = error.code if isinstance(error, SystemExit) else 1
    raised = "" if error is None or isinstance(error, SystemExit) else "".join(traceback.format_exception(error))
    word = (
        f"gpupool: process {os.getpid()}, which was forked in {where}, came back into pytest and was ended, since the "
        "run is its parent's: let it end by itself, with os._exit()\n"
    )
    with suppress(OSError):
        os.write(2, (raised + word).encode(errors="backslashreplace"))
    os._exit(code if isinstance(code, int) else int(code is not None))  # noqa: SLF001 - public, but for its name


def _add(methods: _Methods, method: Callable[[], None]) -> None:
    methods[:] = [known for known in methods if known() is not None]
    methods.append(WeakMethod(method))


def _caller_of(methods: _Methods) -> Callable[[], None]:
    """Return what calls them. It leads to nothing of this module, which a process may load anew, as pytester does."""

    def call() -> None:
        for weak in methods:
            method = weak()
            if method is not None:
                method()

    return FunctionType(call.__code__, {}, closure=call.__closure__)


if hasattr(os, "register_at_fork"):  # what is called at forks can never be taken back
    os.register_at_fork(
        before=_caller_of(_BEFORE), after_in_parent=_caller_of(_IN_PARENT), after_in_child=_caller_of(_IN_CHILD)
    )
