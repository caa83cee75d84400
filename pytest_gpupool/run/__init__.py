"""Run: one run as the user's own process sees it, from its first line to its exit status."""

__all__ = ["alone", "closing", "controller", "interrupts"]
