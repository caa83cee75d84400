"""A recipe says in short what a test's result depends on, and what of it has changed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.worker.recording.recipes import PARTS, change_of, digest, recipe, steady

ONES = ("a" * 12, "b" * 12, "c" * 12, "d" * 12)

UNKNOWN = "its record, which says not how it was made"


class TestDigest:
    """A short text that differs where the parts do."""

    def test_it_is_twelve_hexadecimal_digits(self) -> None:
        """Of nothing too."""
        assert all(re.fullmatch("[0-9a-f]{12}", digest(parts)) for parts in ([], [b""], [b"x" * 100_000]))

    def test_it_is_the_same_in_every_process_and_release(self) -> None:
        """A record of today is understood tomorrow."""
        assert digest([]) == "e3b0c44298fc"
        assert digest([b"def test_a(): pass\n", b"\xff"]) == digest(iter([b"def test_a(): pass\n", b"\xff"]))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ([b"ab", b"c"], [b"a", b"bc"]),
            ([b"ab"], [b"a", b"b"]),
            ([b"a", b"b"], [b"b", b"a"]),
            ([], [b""]),
            ([b""], [b"", b""]),
            ([b"a"], [b"A"]),
        ],
    )
    def test_where_a_part_ends_counts(self, one: list[bytes], other: list[bytes]) -> None:
        """And so do their order and their number."""
        assert digest(one) != digest(other)

    @given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
    def test_other_parts_have_another_digest(self, one: list[bytes], other: list[bytes]) -> None:
        """And the same ones the same."""
        assert (digest(one) == digest(other)) == (one == other)


class TestChange:
    """The user is told what has changed."""

    def test_nothing(self) -> None:
        """The result can be kept."""
        assert change_of(recipe(*ONES), recipe(*ONES)) is None

    @pytest.mark.parametrize(("number", "part"), list(enumerate(PARTS)), ids=PARTS)
    def test_one_part(self, number: int, part: str) -> None:
        """It is named."""
        now = [*ONES]
        now[number] = "e" * 12
        assert change_of(recipe(*ONES), recipe(*now)) == part

    def test_the_words(self) -> None:
        """As they stand behind 'because of'."""
        assert PARTS == ("its source file", "a conftest.py", "its parameters", "the options")

    def test_several_parts(self) -> None:
        """The first one is named: who has edited the test knows."""
        assert change_of(recipe(*ONES), recipe(ONES[0], "e", "e", "e")) == "a conftest.py"
        assert change_of(recipe(*ONES), recipe("e", "e", "e", "e")) == "its source file"

    @pytest.mark.parametrize("before", [None, "", "abc", "a:b:c", "a:b:c:d:e", ":::::"])
    def test_a_record_that_does_not_say(self, before: str | None) -> None:
        """As of a run that kept no recipes, or of another version's."""
        assert change_of(before, recipe(*ONES)) == UNKNOWN

    @given(st.none() | st.text())
    def test_any_text_is_survived(self, before: str | None) -> None:
        """A journal may say anything."""
        assert change_of(before, recipe(*ONES)) in (*PARTS, UNKNOWN)


class Model:
    """An object with the usual repr."""

    def run(self) -> None: ...


class TestSteady:
    """A repr without what differs from process to process."""

    @pytest.mark.parametrize("value", [Model(), [Model(), {"m": Model()}], lambda: 0, Model().run, object()])
    def test_there_are_no_addresses(self, value: object) -> None:
        """Wherever they stand."""
        assert hex(id(value))[2:] not in steady(repr(value))
        assert "0x" not in steady(repr(value))

    def test_two_of_one_kind_are_alike(self) -> None:
        """And those of two kinds are not."""
        models = [Model(), Model()]  # both live, so that they lie in two places
        assert repr(models[0]) != repr(models[1])
        assert steady(repr(models[0])) == steady(repr(models[1])) != steady(repr(object()))

    @pytest.mark.parametrize("text", ["", "0x10", "'look at 0X1F'", "[1, 2.5, 'été']", "flat 0x7f", "at 0xyz"])
    def test_all_else_stays(self, text: str) -> None:
        """A number is a value."""
        assert steady(text) == text

    @given(st.text())
    def test_twice_is_once(self, text: str) -> None:
        """What it leaves is steady."""
        assert steady(steady(text)) == steady(text)
