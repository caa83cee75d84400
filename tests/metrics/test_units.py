"""Units: which of them are of a time or of a rate, and which are of time itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.metrics.units import is_time, is_timed

TIMED = """
    s ms us µs μs ns ps sec secs second seconds Seconds SECONDS milliseconds msec usec microseconds min mins minute
    minutes h hr hours Hours d day days week weeks
    1/s tokens/s Tokens/s tokens/sec tok/s it/s s/it ms/step ms/token seconds/epoch img/s MB/s GB/s GiB/s B/s m/s km/h
    requests/min 1/h %/h TFLOP/s FLOP/s FLOPs/s tokens/s/GPU tokens/GPU/s tokens/(s·GPU) J/s s^-1 s⁻¹ s-1 h-1 s**-1
    s^(-1) m/s^2 tokens·s⁻¹ tokens_per_second samples_per_s
    Hz hz kHz MHz GHz fps FPS qps QPS rps tps rpm RPM bps Mbps Gbps kbps MBps GB/s iops kIOPS MIPS TOPS GOPS
    FLOPS flops GFLOPS TFLOPS PFLOPS Tflops tflops TFLOPS/W [s] (ms) GPU-h GPU-hours gpu-s
"""
TIMED_WORDS = [
    "samples per second", "Samples Per Second", "tokens per s", "s per iteration", "seconds per epoch",
    "words per minute", "GPU hours", "GPU h", "core hours", "node h", "tokens s^-1", "m s⁻¹", "100 ms", "1.5 s",
    "tokens / s", " s ", "latency (s)", "ms (p99)", "tok/s (decode)", "tokens/s decode", "tokens/s per GPU", "ms p99",
    "s · GPU", "seconds (CPU)", "tokens-per-second",
]  # fmt: skip
NOT_TIMED = """
    % m MB MiB GB bytes tokens token points steps step step(s) token(s) iterations epochs images samples items px bits
    nats bits/char bpc dB BLEU F1 mAP ppl perplexity percent percentage params FLOPs GFLOPs TFLOPs MACs FLOP TFLOP OP
    ops tokens/step MB/GPU J J/token W kWh °C K S MS H D M MIN f-score h-index top-1 top-5 min-max max s.d. SD Cohen's
    USD $ x × n/a mm cm kg m^2 m² parts/million per pp bp score/10 1e-3 thousands hourly minus domain
"""
NOT_TIMED_WORDS = [
    "",
    " ",
    "parts per million",
    "Cohen's d",
    "h index",
    "tokens per step",
    "per cent",
    "MB per GPU",
    "/",
    "1/",
]


class TestTimed:
    """Units of a time or of a rate."""

    @pytest.mark.parametrize("unit", [*TIMED.split(), *TIMED_WORDS])
    def test_timed(self, unit: str) -> None:
        """A time, a part of one, or anything per time."""
        assert is_timed(unit)

    @pytest.mark.parametrize("unit", [*NOT_TIMED.split(), *NOT_TIMED_WORDS])
    def test_not_timed(self, unit: str) -> None:
        """Everything else; case tells FLOPS from FLOPs, and s from S."""
        assert not is_timed(unit)

    @given(st.text(max_size=20) | st.text("s/h^-1 ()GPU·per", max_size=12))
    def test_any_text_is_a_unit(self, unit: str) -> None:
        """Nothing raises."""
        assert is_timed(unit) in (True, False)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "µs", "μs", "ns", "min", "h", "d", "seconds", "Minutes", "msec"])
def test_a_unit_of_time_itself(unit: str) -> None:
    """So that a value in it is a duration."""
    assert is_time(unit)


@pytest.mark.parametrize("unit", ["", "%", "tokens/s", "s/it", "ms p99", "GPU h", "S", "steps", "1/s", "FPS"])
def test_what_is_not_one(unit: str) -> None:
    """Rates among them: nothing is guessed from how a unit is spelt."""
    assert not is_time(unit)
