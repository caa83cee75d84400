"""Wide fixtures: what several tests share that is set up for them, a model or a data set, one instance at a time."""

from __future__ import annotations

from typing import NamedTuple


class WideFixture(NamedTuple):
    """One instance of a fixture whose scope is wider than a test: the fixture, with its parameters, where it lives.

    ``name`` is what tests request it by, ``place`` the id of what defines it (of a file or a folder; empty for the
    rootdir and for plugins), ``params`` what tells it from others of that fixture, ``node`` the id of the module, class
    or folder at whose end it is torn down, empty where that is the session.
    """

    name: str
    place: str
    params: str
    node: str

    @property
    def key(self) -> str:
        """By which it is learned and told what it costs: ``evals::model[m0]``. Where it lives makes no difference."""
        return key_of(self.name, self.place, self.params)


def key_of(name: str, place: str, params: str) -> str:
    """Return the key of a wide fixture, see :attr:`WideFixture.key`."""
    whole = f"{place}::{name}" if place else name
    return f"{whole}[{params}]" if params else whole


def split_key(key: str) -> tuple[str, str]:
    """Return what a key says of the fixture, and of its parameters: ``evals::model`` and ``m0``."""
    whole, bracket, params = key.partition("[")
    return whole, params[:-1] if bracket else ""
