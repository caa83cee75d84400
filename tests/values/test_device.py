"""Values that every layer shares: sizes, times and devices, as users write and read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.values.device import Device, Size, cpu_device, usable_together
from pytest_gpupool.values.texts import duration_text, epoch, iso, size_text

GPU = Device(id="GPU-8a5c", kind="gpu", index=3, name="NVIDIA H200", memory_total=1000)
MIG = Device(id="MIG-41f40000-0000", kind="mig", index=0, name="MIG", memory_total=10, legacy_id="MIG-GPU-8a5c/7/0")


def test_what_one_process_can_use_together() -> None:
    """GPUs; of MIG instances, and of one beside a GPU, a single one. CPU slots cap nothing."""
    other = Device(id="GPU-1f00", kind="gpu", index=4, name="NVIDIA H200")
    assert list(usable_together([GPU, MIG, other])) == [GPU, other]
    assert list(usable_together([GPU, other])) == [GPU, other]
    assert len(usable_together([GPU, MIG])) == len(usable_together([MIG, MIG])) == 1
    assert list(usable_together([MIG])) == [MIG]
    assert list(usable_together([])) == []
    assert len(usable_together([cpu_device(0), cpu_device(1)])) == 2


class TestSize:
    """Amounts of memory."""

    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("0", 0),
            ("1024", 1024),
            ("1024B", 1024),
            ("20GiB", 20 * 2**30),
            ("512 MiB", 512 * 2**20),
            ("  1KiB ", 1024),
            ("1kiB", 1024),
            ("1TiB", 2**40),
            ("500MB", 500_000_000),
            ("2kB", 2000),
            ("2KB", 2000),
            ("3GB", 3_000_000_000),
            ("1TB", 10**12),
            ("1.5GiB", 3 * 2**29),
            ("0.5", 500),
            ("0.001", 1),
            ("0.5GiB", 2**29),
        ],
    )
    def test_good_texts(self, text: str, size: int) -> None:
        """Bytes for a device of 1000 bytes: a number below 1 is the fraction of its memory."""
        assert Size.parse(text).of(GPU) == size

    @pytest.mark.parametrize(
        "text",
        ["", " ", "GiB", "20G", "20gb", "20Gib", "20 G iB", "-1GiB", "+1", "1e9", "1,5GiB", ".5", "5.", "nan", "inf",
         "0x10", "20GiB free", "1_000", "50%", "half"],
    )  # fmt: skip
    def test_bad_texts(self, text: str) -> None:
        """They are refused, and the error has the text."""
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - its whole text is compared
            Size.parse(text)
        assert str(raised.value) == text

    def test_a_fraction_of_a_cpu_slot_is_nothing(self) -> None:
        """It has no memory of its own."""
        assert Size.parse("0.5").of(cpu_device(0)) == 0

    def test_a_size_with_a_unit_is_never_a_fraction(self) -> None:
        """Half a byte is no byte, not half of the memory."""
        assert Size.parse("0.5B").of(GPU) == 0

    @given(st.integers(0, 2**50))
    def test_every_number_of_bytes_is_read_exactly(self, size: int) -> None:
        """Up to a petabyte."""
        assert Size.parse(str(size)).of(GPU) == size


class TestTimes:
    """Timestamps are UTC, ISO 8601, with ``Z``."""

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "1970-01-01T00:00:00.000000Z"),
            (0.25, "1970-01-01T00:00:00.250000Z"),
            (1795261612.123456, "2026-11-21T11:46:52.123456Z"),
        ],
    )
    def test_iso(self, seconds: float, text: str) -> None:
        """To the microsecond, whole seconds too."""
        assert iso(seconds) == text
        assert epoch(text) == seconds

    @given(st.floats(0, 2**33))
    def test_epoch_reads_what_iso_wrote(self, seconds: float) -> None:
        """To the microsecond; what was written again is the same text."""
        assert epoch(iso(seconds)) == pytest.approx(seconds, rel=0, abs=1.1e-6)
        assert iso(epoch(iso(seconds))) == iso(seconds)

    @given(st.integers(0, 2**33 * 10**6), st.integers(0, 2**33 * 10**6))
    def test_texts_sort_as_times_do(self, first: int, second: int) -> None:
        """Every text has the same width."""
        texts = iso(first / 10**6), iso(second / 10**6)
        assert (texts[0] < texts[1]) == (epoch(texts[0]) < epoch(texts[1]))

    @pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "11:46"])
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        """With a ValueError."""
        with pytest.raises(ValueError, match=r"Invalid|month|format"):
            epoch(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.99, "0 s"),
        (8, "8 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (179, "2 min"),
        (720, "12 min"),
        (7199, "119 min"),
        (7200, "2 h 0 min"),
        (11100, "3 h 5 min"),
        (90000, "25 h 0 min"),
    ],
)
def test_duration_text(seconds: float, text: str) -> None:
    """A clock that was set back gives no negative time."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MiB"),
        (2**19 - 1, "0 MiB"),
        (512 * 2**20, "512 MiB"),
        (2**30, "1.0 GiB"),
        (int(61.2 * 2**30), "61.2 GiB"),
        (2**40, "1024.0 GiB"),
    ],
)
def test_size_text(size: int, text: str) -> None:
    """GiB from one on, MiB below."""
    assert size_text(size) == text


class TestDevice:
    """A device, its name for people, and its form on the wire."""

    @pytest.mark.parametrize(
        ("device", "label", "is_gpu"),
        [(GPU, "GPU 3", True), (MIG, "MIG-41f40000 on GPU 0", True), (cpu_device(2), "cpu:2", False)],
        ids=["gpu", "mig", "cpu"],
    )
    def test_label(self, device: Device, label: str, is_gpu: bool) -> None:
        """As nvidia-smi numbers GPUs."""
        assert (device.label, device.is_gpu) == (label, is_gpu)

    @pytest.mark.parametrize("device", [GPU, MIG, cpu_device(2)], ids=["gpu", "mig", "cpu"])
    def test_the_wire_brings_it_back(self, device: Device) -> None:
        """Through JSON, and as plain values."""
        wire: dict[str, Any] = device.to_wire()
        assert Device.from_wire(json.loads(json.dumps(wire))) == device
        assert {type(value) for value in wire.values()} <= {str, int, type(None)}

    def test_cpu_slots_have_no_memory_of_their_own(self) -> None:
        """Their ids are ``cpu:N``."""
        assert cpu_device(4) == Device(id="cpu:4", kind="cpu", index=4, name="CPU", memory_total=None)
