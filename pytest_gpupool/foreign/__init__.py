"""Foreign: private names of pytest, its plugins, execnet and Python: each once, with the version it was seen in."""

__all__ = [
    "as_written",
    "companion_names",
    "execnet_names",
    "pytest_names",
    "pytest_phases",
    "pytest_reports",
    "python_names",
    "xdist_protocol",
    "xdist_session",
    "xdist_warnings",
    "xdist_worker",
]
