"""Under which names pytest's JUnit file has what we know of a test."""

from __future__ import annotations

from pytest_gpupool.worker.recording import junit_properties


def test_the_place_names_what_is_known() -> None:
    assert junit_properties.place(["a", "b"], "gw0") == [("gpupool.device", "a,b"), ("gpupool.worker", "gw0")]
    assert junit_properties.place([], None, "earlier") == [("gpupool.run", "earlier")]


def test_a_peak_that_is_not_known_is_none_but_nothing_in_use_is_a_number() -> None:
    assert not junit_properties.peak_memory(None)
    assert junit_properties.peak_memory(0) == [("gpupool.peak_memory_bytes", 0)]


def test_an_attempt_begins_with_the_suites_own_properties() -> None:
    own, ours = ("model", "llama"), junit_properties.metric("accuracy", 0.9)
    assert junit_properties.others([own, ours, junit_properties.verdict("accuracy", "ok")]) == [own]
