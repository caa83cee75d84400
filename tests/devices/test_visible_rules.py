"""CUDA_VISIBLE_DEVICES is read by CUDA's documented rules, which a second reader here follows word by word.

They are those of the CUDA C++ Programming Guide, "CUDA Environment Variables", and of NVIDIA's MIG user guide; where
both are silent, what PyTorch found by trial (see ``devices/nvidia/visible.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from standin import fake_uuid

from pytest_gpupool.devices.nvidia.visible import read_environment
from pytest_gpupool.values.device import Device

WORDS, LONGEST = 7, 3
"""Each example has so many words, and tries all lists of them up to that length: 399, so 100,000 with ``--long``."""

SPACES = " \t\n\v\f\r"
DIGITS = "0123456789"


def host(shape: Sequence[int]) -> tuple[Device, ...]:
    """A host of GPUs, of which each has so many MIG instances; 0 is a whole one."""
    devices: list[Device] = []
    for index, count in enumerate(shape):
        uuid = fake_uuid("GPU", index)
        if not count:
            devices.append(Device(id=uuid, kind="gpu", index=index, name="GPU"))
        for number in range(count):
            name, legacy = fake_uuid("MIG", 8 * index + number), f"MIG-{uuid}/{number + 1}/0"
            devices.append(Device(id=name, kind="mig", index=index, name="MIG", legacy_id=legacy))
    return tuple(devices)


# The second reader: a table of every word that names something, and a walk over the words.


def names(devices: Sequence[Device]) -> dict[str, list[Device]]:
    """Each UUID, each beginning of one that no other has, and each name of an old driver's, with its device."""
    table: dict[str, list[Device]] = {}
    for device in devices:
        for length in range(len("GPU-"), len(device.id) + 1):
            table.setdefault(device.id[:length], []).append(device)
    unique = {word: found for word, found in table.items() if len(found) == 1}
    return unique | {device.legacy_id: [device] for device in devices if device.legacy_id}


def number(word: str) -> int | None:
    """What C's strtol makes of the beginning of a word, None where that is no number."""
    sign, rest = (word[0], word[1:]) if word[:1] in ("+", "-") else ("", word)
    value, read = 0, 0
    while read < len(rest) and rest[read] in DIGITS:
        value = 10 * value + DIGITS.index(rest[read])
        read += 1
    if not read:
        return None
    return -value if sign == "-" else value


def seen_by_cuda(value: str | None, devices: Sequence[Device]) -> list[Device]:
    """The devices that CUDA shows a program."""
    if value is None:
        return list(devices)
    table = names(devices)
    seen: list[Device] = []
    words = [word.strip(SPACES) for word in value.split(",")]
    for word in words:
        if word[:4] in ("GPU-", "MIG-"):
            found, kind = table.get(word, []), word[:4]
        else:
            place, kind = number(word), "number"
            found = [device for device in devices if place is not None and device.index == place]
        first = words[0][:4] if words[0][:4] in ("GPU-", "MIG-") else "number"
        if kind != first or not found:
            return seen  # what comes after an invalid word is not seen
        if any(device in seen for device in found):
            return []
        seen += found
    return seen


SHAPES = st.lists(st.sampled_from([0, 0, 0, 1, 2, 7]), min_size=0, max_size=5)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Device, ...], list[str]]:
    """A host, and words as people, programs and accidents write them in a list."""
    devices = host(draw(SHAPES))
    known = [name for device in devices for name in (device.id, device.legacy_id) if name]
    beginnings = st.builds(lambda name, length: name[:length], st.sampled_from(known or ["GPU-"]), st.integers(3, 44))
    numbers = st.builds(
        lambda sign, zeros, value, tail: f"{sign}{zeros}{value}{tail}",
        st.sampled_from(["", "", "", "+", "-"]),
        st.sampled_from(["", "", "0", "00"]),
        st.integers(0, 6),
        st.sampled_from(["", "", "", "gpu", ".5", " 1", "x1", "٣"]),
    )
    accidents = st.sampled_from(["", "-1", "NoDevFiles", "all", "none", "void", "gpu-0", "MIG-", "GPU-", "+", "-", "٣"])
    word = st.one_of(numbers, st.sampled_from(known or ["0"]), beginnings, accidents, st.text(max_size=6))
    space = st.sampled_from(["", "", "", " ", "\t", "\n", "\u00a0"])
    spaced = st.builds(lambda before, text, after: before + text + after, space, word, space)
    return devices, draw(st.lists(spaced, min_size=WORDS, max_size=WORDS))


@given(cases())
def test_both_readers_see_the_same(case: tuple[tuple[Device, ...], list[str]]) -> None:
    """Of every string, on hosts of GPUs and of MIG instances."""
    devices, words = case
    for length in range(1, LONGEST + 1):
        for chosen in itertools.product(words, repeat=length):
            value = ",".join(chosen)
            assert list(read_environment(value, devices).devices) == seen_by_cuda(value, devices), value


@given(SHAPES)
def test_unset_hides_nothing(shape: list[int]) -> None:
    """And empty hides all."""
    devices = host(shape)
    assert list(read_environment(None, devices).devices) == seen_by_cuda(None, devices) == list(devices)
    assert list(read_environment("", devices).devices) == seen_by_cuda("", devices) == []
