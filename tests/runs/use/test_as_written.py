"""The package's modules are loaded as Python loads any: pytest rewrites no assert of theirs, anew in each process."""

from __future__ import annotations

import pytest
from support import Host


@pytest.mark.parametrize("args", [(), ("-n1",), ("-p", "no:gpupool")], ids=["plain", "n1", "off"])
def test_no_module_is_compiled_by_pytest(cpu_host: Host, args: tuple[str, ...]) -> None:
    """But those that pytest names one by one, and what it needs to load them; where asserts of others are rewritten."""
    # As pytest does with all of an installed plugin's distribution, but not with one that is installed as editable.
    cpu_host.write("early.py", "import pytest\npytest.register_assert_rewrite('pytest_gpupool', 'other')\n")
    cpu_host.write("other.py", "assert True\n")
    cpu_host.write(
        "test_suite.py",
        """
        import sys
        import other

        def test_one():
            rewritten = {name for name, module in [*sys.modules.items()] if "@pytest_ar" in vars(module)}
            assert "other" in rewritten
            ours = {name for name in rewritten if name.startswith("pytest_gpupool")}
            first = {"pytest_gpupool.plugin", "pytest_gpupool.foreign", "pytest_gpupool.foreign.as_written"}
            fixtures = {"pytest_gpupool.worker", "pytest_gpupool.worker.fixtures"}
            assert ours <= first | fixtures
        """,
    )
    run = cpu_host.pytest("-p", "early", *args)
    assert run.status == 0, run.output
