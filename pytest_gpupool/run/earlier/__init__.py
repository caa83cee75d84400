"""Earlier runs: what this one takes from them: results, durations; and which sources have changed since."""

__all__ = ["changes", "git", "history", "resume"]
