"""Protocol: a worker's side of what it and the controller say to each other while pytest runs."""

__all__ = ["interactor"]
