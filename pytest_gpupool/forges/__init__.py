"""Forges: what code hosts are told of a run: a pull request's one comment, and how GitHub and GitLab take it."""

__all__ = ["annotations", "comment", "environment", "posting"]
