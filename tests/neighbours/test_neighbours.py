"""The suites of the plugins that stand beside this one: each of their tests ends as it does without this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bytecode
import pytest
import sdists
from neighbour import Comparison, Neighbour, differences
from support import Host

TRIES = 3
"""How often tests that have ended differently run again: some fail by chance, with this plugin and without."""

RACE = "tests begin with the first worker that is ready, which may have run all of them before another one is"
GROUPS = "pytest 9 no longer reads the group that xdist writes into the id; here it is told apart from the id"
ALONE = "each test goes alone to the next worker that is free: two of a class may be set up on two workers"
CORES = "-n auto is one worker for each core that this process may use, not for each physical one (contract)"

XDIST = Neighbour(
    name="pytest-xdist",
    needs=("pytest-xdist", "filelock"),
    few="crash or maxfail or NodeFailure or DistEach or GroupScope or proxy or newhooks",
    differ={
        **dict.fromkeys(
            (
                "testing/acceptance_test.py::TestFileScope::test_module_single_start",
                "testing/acceptance_test.py::TestLoadScope::test_module_single_start",
                "testing/acceptance_test.py::TestLoadScope::test_workqueue_ordered_by_input",
                "testing/acceptance_test.py::TestLoadScope::test_workqueue_ordered_by_size",
                "testing/acceptance_test.py::TestNodeFailure::test_disable_restart",
                "testing/acceptance_test.py::test_worker_id_fixture[2]",
            ),
            RACE,
        ),
        **dict.fromkeys(
            (
                "testing/acceptance_test.py::TestGroupScope::test_by_class",
                "testing/acceptance_test.py::TestGroupScope::test_by_module",
                "testing/acceptance_test.py::TestGroupScope::test_module_single_start",
            ),
            GROUPS,
        ),
        "testing/acceptance_test.py::test_issue_594_random_parametrize": "workers may collect in another order",
        "testing/test_plugin.py::test_auto_detect_cpus_psutil": CORES,
        "testing/test_workermanage.py::TestNodeManager::test_proxy_gateway": "a worker behind a proxy is refused",
    },
)
RERUNFAILURES = Neighbour(
    name="pytest-rerunfailures",
    needs=("pytest-rerunfailures", "pytest-xdist"),
    few="xdist or crash or subtest or fixture",
)
TIMEOUT = Neighbour(
    name="pytest-timeout",
    needs=("pytest-timeout", "pytest-cov", "pexpect"),
    few="thread or timer or fix_setup",
)
COV = Neighbour(
    name="pytest-cov",
    needs=("pytest-cov", "pytest-xdist", "process-tests"),
    few="bare or conftest_dist or data_file_xdist or coveragerc_dist or sig_dfl",
    differ=dict.fromkeys(
        ("tests/test_pytest_cov.py::test_contexts[2xdist]", "tests/test_pytest_cov.py::test_contexts[3xdist]"), ALONE
    ),
)


@pytest.mark.parametrize("neighbour", [XDIST, RERUNFAILURES, TIMEOUT, COV], ids=lambda neighbour: neighbour.name)
def test_its_tests_end_as_they_do_without_this_plugin(
    neighbour: Neighbour, make_host: Callable[..., Host], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """All of them with --long, else those that touch what both plugins do."""
    if (sdist := sdists.find(neighbour.name)) is None:
        pytest.skip(f"the sdist of {neighbour.name} is not in {sdists.directory()}; this fetches it: {sdists.FETCH}")
    bytecode.compile_for_pytest()
    # Without GPUs, as most machines on which those suites run.
    comparison = Comparison(tmp_path / "sides", sdist, neighbour, make_host(0).environ(COLUMNS=None))
    selection = () if pytestconfig.getoption("long") else ("-k", neighbour.few)
    endings = comparison.run(*selection)
    if not selection:
        assert neighbour.differ.keys() <= endings[0].keys(), "a test that may differ is there no more"
    differ = differences(endings)
    for _ in range(TRIES):
        if again := differ.keys() - neighbour.differ.keys():
            differ = differences(comparison.run(*sorted(again)))
    assert not [text for test, text in differ.items() if test not in neighbour.differ], "\n".join(differ.values())
