"""Warnings on their way from a worker to the controller. Seen in pytest-xdist 3.7.0 and 3.8.0.

xdist makes each again from its class, which the controller may be unable to load or to call, and ends the run where it
is. Such a warning keeps its words, with the class's name before them, and is of the class Warning.
"""

from __future__ import annotations

import warnings
from typing import Any

RECORDED = "warning_recorded"
"""The event of a worker."""

_DATA = "warning_message_data"


def to_wire(warning: warnings.WarningMessage, **more: object) -> dict[str, Any]:
    """Return what belongs to the event, in a worker."""
    from xdist.remote import serialize_warning_message  # pytest warns where it is there before pytest

    try:
        return {_DATA: serialize_warning_message(warning), **more}
    except Exception:  # that of the repr of what it is about
        message = warnings.WarningMessage(warning.message, warning.category, warning.filename, warning.lineno)
        return {_DATA: serialize_warning_message(message), **more}


def from_wire(values: dict[str, Any]) -> tuple[warnings.WarningMessage, dict[str, Any]]:
    """Return the warning of :func:`to_wire`, as it can be, and what was told with it."""
    from xdist.workermanage import unserialize_warning_message

    rest = {name: value for name, value in values.items() if name != _DATA}
    return unserialize_warning_message(as_it_can_be(values)[_DATA]), rest


def as_it_can_be(values: dict[str, Any]) -> dict[str, Any]:
    """Return what belongs to the event, in the controller, as xdist can make the warning of it again."""
    from xdist.workermanage import unserialize_warning_message

    data = values[_DATA]
    try:
        made = unserialize_warning_message(data)
        if made.category is None or issubclass(made.category, Warning):
            warnings.formatwarning(made.message, made.category or Warning, made.filename, made.lineno)
            return values
    except BaseException:  # a module that is loaded may do anything, such as to skip itself
        pass
    told = f"{data['message_module']}.{data['message_class_name']}: {data['message_str']}"
    general = {
        "message_module": "builtins",
        "message_class_name": "Warning",
        "message_args": (told,),
        "category_module": "builtins",
        "category_class_name": "Warning",
    }
    return values | {_DATA: data | general}
