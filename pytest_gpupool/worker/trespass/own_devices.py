"""Own devices: those that this process may use, the variables that were exported for them, and whether that holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import environ  # a test may put something else in the place of os.environ

from ...devices import vendors
from ...devices.vendor import Vendor
from ...values.device import Device
from ...values.orders import Orders

Change = Mapping[str, str | None]
"""Variables that are not what was exported, and what they are; None where one is not set."""


class OwnDevices:
    """The devices of one lease. ``exported`` shows them to this process; ``known`` are other devices by which to name.

    ``vendor`` made them, and ``owner`` is how this process is called where somebody else reads of it.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        exported: Mapping[str, str],
        *,
        vendor: Vendor,
        known: Sequence[Device] = (),
        owner: str = "this worker",
    ) -> None:
        self.devices = tuple(devices)
        self.vendor = vendor
        self.owner = owner
        self._exported = dict(exported)
        self._labels = {device.id: f"{device.label} ({device.id})" for device in (*known, *devices)}
        self._may_see_others = any(device.is_gpu for device in devices)
        self._sees_its_own = False

    @classmethod
    def of(cls, devices: Sequence[Device], orders: Orders, owner: str = "this worker") -> OwnDevices:
        """Return those of a lease that was taken by these orders."""
        vendor = vendors.of(orders.devices)
        exported = vendor.export(devices, orders.export)
        return cls(devices, exported, vendor=vendor, known=orders.devices, owner=owner)

    def take_change(self) -> Change:
        """Return which variables are not what was exported, and put them back. Another spelling is no change."""
        present = {name: environ.get(name) for name in self._exported}
        if present == self._exported:
            return {}
        changed = {name: value for name, value in present.items() if value != self._exported[name]}
        if not self._matters(present):
            return {}
        self._may_see_others = True
        environ.update(self._exported)
        return changed

    def strangers(self) -> tuple[str, ...]:
        """Return labels of devices that are visible here for good and not leased; none before that is settled."""
        if self._sees_its_own or not self._may_see_others:
            return ()
        found = self.vendor.strangers(self.devices)
        if found is None:
            return ()
        self._sees_its_own = not found
        return tuple(map(self._label, found))

    def _label(self, id_: str) -> str:
        # Of a device that was not expected the kind is not known, by which ids begin.
        return next((label for known, label in self._labels.items() if known[4:] == id_[4:]), id_)

    def leased(self) -> str:
        """Return ``this worker leased GPU 1 (GPU-8a5c…)``."""
        gpus = [self._labels[device.id] for device in self.devices if device.is_gpu]
        return f"{self.owner} leased {', '.join(gpus) or 'no GPU'}"

    def _matters(self, present: Change) -> bool:
        if self.vendor.shows_exactly(self.devices, present):
            return False
        # Where there is no GPU at all, a suite may say what it likes of them.
        return self._may_see_others or self._host_has_gpus

    @cached_property
    def _host_has_gpus(self) -> bool:
        return bool(vendors.survey().devices)


def words_of(change: Change) -> str:
    """Return ``set CUDA_VISIBLE_DEVICES=0``, or that it removed it."""
    values = [f"set {name}={value}" if value is not None else f"removed {name}" for name, value in change.items()]
    return " and ".join(values)
