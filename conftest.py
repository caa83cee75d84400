"""For the whole repository: pytest's own tools to test plugins with."""

pytest_plugins = ["pytester"]
