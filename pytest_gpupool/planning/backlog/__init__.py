"""Backlog: the tests that wait, by what they need, and in which order they go.

``queue`` takes tests and gives work units. They lie in a ``subqueue`` each of equal needs, the best one first; which
family of set-ups a worker goes on with is the rule in ``families``, by what ``costs`` knows. ``loads`` counts them.
"""

__all__ = ["costs", "loads", "queue"]
