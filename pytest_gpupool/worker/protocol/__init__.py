"""Protocol: a worker's side of what it and the controller say to each other."""

__all__ = ["early_line", "interactor", "item_facts", "order"]
