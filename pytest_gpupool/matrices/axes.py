"""Axes: the product behind :func:`pytest_gpupool.matrix`, what is left out of it, and how its values are called.

Pure: standard library only, no clock, no files. Values are of any type, and nothing is asked of them but ``==``, which
only ``exclude`` needs. A combination is a number in the product, or the place of its value in each axis: so a sample
of a product of any size is drawn without making the product.
"""

from __future__ import annotations

import enum
import hashlib
import math
import numbers
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeGuard

from ..values.errors import UsageProblem
from ..values.texts import safe_repr

Places = tuple[int, ...]
"""A combination: the place of its value in each axis."""

_Rule = Mapping[int, frozenset[int]]  # by the axis's place, the places of its values that a dict of exclude names

_LONGEST_TEXT = 100  # as pytest: a longer text makes no id

_DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def listed(name: str, values: object) -> list[object]:
    """Return an axis's values.

    Raises:
        UsageProblem: they are no list, or of a kind that has no order of its own.
    """
    if isinstance(values, str | bytes | Mapping) or not _can_be_listed(values):
        raise UsageProblem(f"matrix: {name} is a list of values, not {safe_repr(values, 60)}; write {name}=[…]")
    if isinstance(values, set | frozenset):
        # That of texts changes with each process, and all workers must collect the same tests.
        raise UsageProblem(f"matrix: {name} is a set, which has no order; write {name}=[…] or sorted(…)")
    found = list(values)
    if not found:
        raise UsageProblem(f"matrix: {name} has no values, so there would be no test")
    return found


def combinations(
    axes: Mapping[str, Sequence[object]],
    *,
    exclude: Iterable[Mapping[str, object]] = (),
    sample: int | None = None,
    seed: int = 0,
) -> list[Places]:
    """Return the combinations that are to be tests, in the order of the product: the last axis varies fastest.

    A combination is left out where it has all values of one of ``exclude``. ``sample`` combinations are chosen among
    the others, the same ones on every machine, for each ``seed``; a larger sample has all of a smaller one, and a
    further ``exclude`` replaces only what it leaves out.

    Raises:
        UsageProblem: an argument makes no sense, or nothing is left.
    """
    if not axes:
        raise UsageProblem("matrix: it has no axis; write such as matrix(lr=[0.1, 0.01])")
    _check_whole("seed", seed)
    sizes = [len(values) for values in axes.values()]
    is_kept = _keeps(_rules(axes, exclude), sizes)
    total = math.prod(sizes)
    if sample is None:
        left = [number for number in range(total) if is_kept(number)]
    else:
        _check_whole("sample", sample, least=1)
        left = sorted(islice(filter(is_kept, _shuffled(total, seed)), sample))
    if not left:
        raise UsageProblem("matrix: exclude leaves no combination, so there would be no test")
    return [_places(number, sizes) for number in left]


def text_of(name: str, place: int, value: object) -> str:
    """Return what a value is called in an id: ``0.001``, ``adam``, or like pytest ``model0`` where it has no text."""
    try:
        text = _text(value)
    except Exception:  # a foreign type may do anything
        text = None
    return f"{name}{place}" if text is None or len(text) > _LONGEST_TEXT else text


def with_names(name: str, texts: Sequence[str | None]) -> list[str]:
    """Return an axis's texts as ids have them: ``lr=0.1``, with their places where two are the same; none for None."""
    count = Counter(texts)
    return [
        "" if text is None else f"{name}={text}_{place}" if count[text] > 1 else f"{name}={text}"
        for place, text in enumerate(texts)
    ]


def _text(value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.name
    for kind in (float, int, str):  # before NumPy's and other subclasses, which show their type
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind.__repr__(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if isinstance(value, numbers.Number):
        return str(value)
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and "<" not in name:  # as in <lambda>
        return name
    text = safe_repr(value)  # of torch.float16 that is its name
    return text.rpartition(".")[2] if _DOTTED_NAME.fullmatch(text) else None


def _can_be_listed(values: object) -> TypeGuard[Iterable[object]]:
    try:
        iter(values)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


def _check_whole(name: str, value: object, least: int | None = None) -> None:
    if type(value) is not int or (least is not None and value < least):
        what = "a whole number" if least is None else f"a whole number from {least}"
        # Many a test has an argument called seed.
        axis = f"; an axis called {name} takes a @pytest.mark.parametrize({name!r}, …) of its own"
        hint = axis if _can_be_listed(value) else ""
        raise UsageProblem(f"matrix: {name} is {what}, not {safe_repr(value, 60)}{hint}")


def _rules(axes: Mapping[str, Sequence[object]], exclude: Iterable[Mapping[str, object]]) -> list[_Rule]:
    if isinstance(exclude, str | bytes | Mapping) or not _can_be_listed(exclude):
        raise UsageProblem(f"matrix: exclude is a list of dicts, not {safe_repr(exclude, 60)}; write exclude=[{{…}}]")
    return [_rule(axes, one) for one in exclude]


def _rule(axes: Mapping[str, Sequence[object]], one: object) -> _Rule:
    if not isinstance(one, Mapping) or not one:
        raise UsageProblem(f"matrix: exclude has {safe_repr(one, 60)}; each is a dict of values by axis")
    order = list(axes)
    for name in one:
        if name not in axes:
            raise UsageProblem(f"matrix: exclude names {name!r}, which is no axis: there are {', '.join(order)}")
    return {order.index(name): _places_of(name, axes[name], value) for name, value in one.items()}


def _places_of(name: str, values: Sequence[object], wanted: object) -> frozenset[int]:
    found = frozenset(place for place, value in enumerate(values) if _are_same(value, wanted))
    if not found:
        # A misspelt value would leave nothing out, and nobody would see it.
        known = safe_repr(list(values), 200)
        raise UsageProblem(f"matrix: exclude has {name}={safe_repr(wanted, 60)}, which is no value of it: {known}")
    return found


def _are_same(one: object, other: object) -> bool:
    """Compare by ``==``, but True is not 1, and NaN is itself."""
    if one is other:
        return True
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    try:
        return bool(one == other)
    except Exception:  # arrays have no single answer, and a foreign type may do anything
        return False


def _keeps(rules: Sequence[_Rule], sizes: Sequence[int]) -> Callable[[int], bool]:
    def is_kept(number: int) -> bool:
        places = _places(number, sizes)
        return not any(all(places[axis] in named for axis, named in rule.items()) for rule in rules)

    return is_kept if rules else lambda number: True


def _places(number: int, sizes: Sequence[int]) -> Places:
    places = []
    for size in reversed(sizes):
        number, place = divmod(number, size)
        places.append(place)
    return tuple(reversed(places))


def _shuffled(count: int, seed: int) -> Iterator[int]:
    """Yield the numbers below ``count`` in an order that looks random, each as it is asked for.

    Fisher and Yates' shuffle (Durstenfeld 1964, "Algorithm 235: Random permutation"), which keeps in mind only the
    places that it has changed. Its choices come from SHA-256, which no version of Python does in another way.
    """
    moved: dict[int, int] = {}
    for place in range(count):
        digest = hashlib.sha256(f"{seed}/{place}".encode()).digest()
        other = place + (int.from_bytes(digest) * (count - place) >> 256)
        yield moved.get(other, other)
        moved[other] = moved.pop(place, place)
