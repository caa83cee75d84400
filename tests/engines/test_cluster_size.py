"""How large a cluster is, as pytest's header has it."""

from __future__ import annotations

import pytest

from pytest_gpupool.engines.engine import size_text


@pytest.mark.parametrize(
    ("gpus", "text"),
    [
        ([2, 2], "2 hosts, 4 GPUs"),
        ([0, 1], "1 host, 1 GPU"),
        ([0, 0], "2 hosts, 0 GPUs"),
        ([], "0 hosts, 0 GPUs"),
    ],
)
def test_hosts_that_have_none_count_only_where_no_host_has_one(gpus: list[int], text: str) -> None:
    """A head or a login node is no place for a worker that needs a GPU."""
    assert size_text(gpus) == text
