"""Distribution: xdist's hooks and protocol in the controller: who runs what, who comes and goes."""

__all__ = ["hooks"]
