"""Commands: what the program ``gpupool`` can be asked for, one module per call."""

__all__ = [
    "baseline",
    "export",
    "history",
    "matrix",
    "plan",
    "quarantine",
    "report",
    "run",
    "runs",
    "scaling",
    "schema",
    "status",
]
