"""What the process that collects a resumed run's tests says of all of them."""

from __future__ import annotations

from pytest_gpupool.worker.choosing.resume import WholeCollection


def test_the_controller_gets_it_as_it_is() -> None:
    whole = WholeCollection(["test_a.py::test_ä", "test_a.py::test_b"], {"its file": 2})
    assert WholeCollection.from_wire(whole.to_wire()) == whole
