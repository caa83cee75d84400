"""Foreign: private names of pytest, xdist and execnet: each once, with the version it was seen in."""

__all__ = [
    "as_written",
    "execnet_names",
    "pytest_names",
    "xdist_protocol",
    "xdist_session",
    "xdist_warnings",
    "xdist_worker",
]
