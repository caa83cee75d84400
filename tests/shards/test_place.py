"""The place of a machine among the shards, as users and CI systems say it."""

from __future__ import annotations

import pytest

from pytest_gpupool.shards.place import Shard, parse
from pytest_gpupool.values.errors import UsageProblem


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("2/4", (2, 4)), (" 4 / 4 ", (4, 4))])
def test_what_a_user_writes(text: str, shard: tuple[int, int]) -> None:
    """From 1."""
    assert parse(text, {}) == Shard(*shard)
    assert str(Shard(2, 4)) == "2/4"


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "-1/4", "1/0", "1.0/4", "a/b", "1/4/2", "1/99999", "٢/٤"])
def test_what_is_no_shard(text: str) -> None:
    """Refused."""
    with pytest.raises(ValueError, match=r"^"):
        parse(text, {})


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({"GPUPOOL_SHARD_INDEX": "3", "GPUPOOL_SHARD_TOTAL": "8"}, (3, 8)),
        ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4"}, (2, 4)),
        ({"CI_NODE_TOTAL": "1"}, (1, 1)),
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "4"}, (1, 4)),
        ({"BUILDKITE_PARALLEL_JOB": "3", "BUILDKITE_PARALLEL_JOB_COUNT": "4"}, (4, 4)),
        ({"SYSTEM_JOBPOSITIONINPHASE": "4", "SYSTEM_TOTALJOBSINPHASE": "4"}, (4, 4)),
        # A matrix job on a runner that GitLab has not divided.
        ({"CI_NODE_TOTAL": "1", "GPUPOOL_SHARD_INDEX": "2", "GPUPOOL_SHARD_TOTAL": "3"}, (2, 3)),
        ({"CI_NODE_TOTAL": "1", "SYSTEM_JOBPOSITIONINPHASE": "2", "SYSTEM_TOTALJOBSINPHASE": "3"}, (2, 3)),
    ],
)
def test_what_a_ci_system_says(environ: dict[str, str], shard: tuple[int, int]) -> None:
    """Each counts as it does."""
    assert parse("auto", environ) == Shard(*shard)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "no CI system says which shard this is; known are GPUPOOL_SHARD_INDEX and GPUPOOL_SHARD_TOTAL, CI_NODE"),
        ({"CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX='' and CI_NODE_TOTAL='4': set both, the first from 1 to CI_NODE_TOTAL"),
        ({"CIRCLE_NODE_INDEX": "4", "CIRCLE_NODE_TOTAL": "4"}, "the first from 0 to CIRCLE_NODE_TOTAL - 1"),
        ({"CI_NODE_INDEX": "x", "CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX='x'"),
        ({"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX='0'"),
        ({"CI_NODE_INDEX": "1_0", "CI_NODE_TOTAL": "1_1"}, "CI_NODE_INDEX='1_0'"),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "0"}, "CI_NODE_TOTAL='0'"),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "99999"}, "the other to 10000 at most"),
        ({"BUILDKITE_PARALLEL_JOB": "-1", "BUILDKITE_PARALLEL_JOB_COUNT": "4"}, "BUILDKITE_PARALLEL_JOB='-1'"),
        ({"SYSTEM_JOBPOSITIONINPHASE": "2", "SYSTEM_TOTALJOBSINPHASE": ""}, "SYSTEM_TOTALJOBSINPHASE='': set both"),
        ({"GITHUB_ACTIONS": "true"}, "set in the job's env GPUPOOL_SHARD_INDEX: ${{ matrix.shard }} and"),
    ],
)
def test_where_they_do_not_say(environ: dict[str, str], said: str) -> None:
    """Which variables there should be."""
    with pytest.raises(UsageProblem, match="--gpupool-shard=auto") as caught:
        parse("auto", environ)
    assert said in str(caught.value)
