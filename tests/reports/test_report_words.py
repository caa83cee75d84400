"""What reports call things."""

from __future__ import annotations

from typing import Any

from pytest_gpupool.reports.words import labels


def device(number: int, host: str | None) -> dict[str, Any]:
    return {"id": f"GPU-{number}", "kind": "gpu", "index": number % 2, "name": "H200", "host": host}


def test_devices_of_several_hosts_are_told_apart() -> None:
    """Each host has a GPU 0; one whose host is not known has its label alone."""
    report = {"devices": [device(0, "n1"), device(2, "n2"), device(4, None)]}
    assert labels(report) == {"GPU-0": "n1: GPU 0", "GPU-2": "n2: GPU 0", "GPU-4": "GPU 0"}


def test_of_one_host_the_label_is_enough() -> None:
    """As it is of older reports, which have no host."""
    assert labels({"devices": [device(0, "n1"), device(1, "n1")]}) == {"GPU-0": "GPU 0", "GPU-1": "GPU 1"}
    old = {key: value for key, value in device(1, None).items() if key != "host"}
    assert labels({"devices": [old]}) == {"GPU-1": "GPU 1"}
