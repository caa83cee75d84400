"""Lists of devices are read as CUDA reads them, and written so that CUDA sees exactly the leased ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_gpupool.devices import lists
from pytest_gpupool.devices.nvidia.vendor import Nvidia
from pytest_gpupool.devices.nvidia.visible import export, read_environment
from pytest_gpupool.devices.vendor import Visible
from pytest_gpupool.values.device import Device, cpu_device
from pytest_gpupool.values.errors import UsageProblem

FIRST = "GPU-8a5c0000-0000-4000-8000-000000000000"
SECOND = "GPU-8a5cffff-0000-4000-8000-000000000001"
THIRD = "GPU-1f000000-0000-4000-8000-000000000002"


def select(spec: str, visible: Sequence[Device], host: Sequence[Device]) -> tuple[Device, ...]:
    """What a list chooses of NVIDIA's devices."""
    return lists.select(spec, visible, host, Nvidia())


def gpu(index: int, uuid: str) -> Device:
    """A whole GPU."""
    return Device(id=uuid, kind="gpu", index=index, name="NVIDIA H200", memory_total=141 * 2**30)


def mig(parent: int, uuid: str, instance: str) -> Device:
    """A MIG instance of a GPU."""
    return Device(id=uuid, kind="mig", index=parent, name="MIG 1g", memory_total=10 * 2**30, legacy_id=instance)


GPUS = (gpu(0, FIRST), gpu(1, SECOND), gpu(2, THIRD))

LEFT = mig(0, "MIG-41f40000-0000-5000-8000-000000000000", f"MIG-{FIRST}/7/0")
RIGHT = mig(0, "MIG-aaaa0000-0000-5000-8000-000000000001", f"MIG-{FIRST}/8/0")
WITH_MIG = (LEFT, RIGHT, gpu(1, SECOND))


def indices(visible: Visible) -> list[int]:
    """The indices of what is left, in order."""
    return [device.index for device in visible.devices]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, [0, 1, 2], id="unset"),
        pytest.param("", [], id="empty"),
        pytest.param("  ", [], id="blank"),
        pytest.param("-1", [], id="minus one"),
        pytest.param("NoDevFiles", [], id="NoDevFiles"),
        ("1", [1]),
        ("0,2", [0, 2]),
        pytest.param("2,0,1", [2, 0, 1], id="the order is kept"),
        pytest.param(" 0 ,\t2 ", [0, 2], id="spaces"),
        pytest.param("0,-1,1", [0], id="minus one ends"),
        pytest.param("1,", [1], id="nothing after the comma"),
        pytest.param("1,,2", [1], id="an empty token ends"),
        pytest.param("1,NoDevFiles,2", [1], id="NoDevFiles ends"),
        pytest.param("+1", [1], id="plus"),
        pytest.param("-0", [0], id="minus zero"),
        pytest.param("02", [2], id="leading zero"),
        pytest.param("1gpu2,2ampere", [1, 2], id="as strtoul reads it"),
        pytest.param("2.7", [2], id="up to the point"),
        pytest.param("1 0", [1], id="up to the space"),
        pytest.param(SECOND, [1], id="full uuid"),
        pytest.param(f"{THIRD},{FIRST}", [2, 0], id="full uuids in order"),
        pytest.param("GPU-1f", [2], id="unique prefix"),
        pytest.param("GPU-8a5cf,GPU-8a5c0", [1, 0], id="longer prefixes"),
    ],
)
def test_a_good_list_leaves_its_devices_without_a_warning(value: str | None, expected: list[int]) -> None:
    """What users write on purpose, ``none`` included, is not warned of."""
    visible = read_environment(value, GPUS)
    assert (indices(visible), visible.warning) == (expected, None)


@pytest.mark.parametrize(
    ("value", "expected", "token"),
    [
        pytest.param("7", [], "7", id="no such index"),
        pytest.param("1,7,0", [1], "7", id="an unknown index ends"),
        pytest.param("0,nonsense,1", [0], "nonsense", id="a word ends"),
        pytest.param("0,-2,1", [0], "-2", id="a negative number ends"),
        pytest.param("all", [], "all", id="a word"),
        pytest.param("none", [], "none", id="docker's word"),
        pytest.param("GPU-8a5c", [], "GPU-8a5c", id="ambiguous prefix"),
        pytest.param("GPU-1f,GPU-8a5c,GPU-8a5c0", [2], "GPU-8a5c", id="an ambiguous prefix ends"),
        pytest.param("GPU-dead", [], "GPU-dead", id="unknown uuid"),
        pytest.param("gpu-1f", [], "gpu-1f", id="small letters"),
        pytest.param("0;1", [0], None, id="semicolon"),
    ],
)
def test_a_bad_token_ends_the_list(value: str, expected: list[int], token: str | None) -> None:
    """What comes before it counts; the warning names it. ``0;1`` is 0 to strtoul, and nothing is said."""
    visible = read_environment(value, GPUS)
    assert indices(visible) == expected
    if token is None:
        assert visible.warning is None
    else:
        assert visible.warning == (
            f"CUDA_VISIBLE_DEVICES={value}: no device {token!r} here, and CUDA ignores what comes after it"
        )


@pytest.mark.parametrize("value", ["0,0", "0,1,0", "2,+2", "1,1gpu", f"{THIRD},GPU-1f", "0,0,nonsense"])
def test_a_duplicate_makes_the_list_empty(value: str) -> None:
    """However the second one is spelled; the warning says so."""
    visible = read_environment(value, GPUS)
    assert visible.devices == ()
    assert visible.warning == f"CUDA_VISIBLE_DEVICES={value} names a device twice: CUDA sees no GPU then"


def test_a_duplicate_behind_the_end_is_not_looked_at() -> None:
    """CUDA stops at the invalid token."""
    assert indices(read_environment("0,nonsense,0", GPUS)) == [0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LEFT.id, (LEFT,)),
        (f"{RIGHT.id},{LEFT.id}", (RIGHT, LEFT)),
        ("MIG-aaaa", (RIGHT,)),
        (f"MIG-{FIRST}/8/0", (RIGHT,)),
        (f"MIG-{FIRST}/7/0,{RIGHT.id}", (LEFT, RIGHT)),
        pytest.param("0", (LEFT, RIGHT), id="index of the parent"),
        pytest.param("1,0", (WITH_MIG[2], LEFT, RIGHT), id="a GPU, then the index of the parent"),
        pytest.param(None, WITH_MIG, id="unset"),
    ],
)
def test_mig_instances_in_either_spelling(value: str | None, expected: tuple[Device, ...]) -> None:
    """``MIG-<uuid>``, its unique prefix, ``MIG-GPU-<uuid>/<gi>/<ci>``, or their GPU's index for all of them."""
    assert read_environment(value, WITH_MIG) == Visible(devices=expected)


@pytest.mark.parametrize(
    "value", [f"MIG-{FIRST}/9/0", f"MIG-{FIRST}", "MIG-", FIRST], ids=["no such", "no ids", "ambiguous", "the parent"]
)
def test_a_mig_name_that_fits_none_ends_the_list(value: str) -> None:
    """The GPU's own UUID does not name its instances."""
    visible = read_environment(value, WITH_MIG)
    assert visible.devices == ()
    assert f"no device {value!r} here" in str(visible.warning)


def test_the_same_instance_in_both_spellings_is_a_duplicate() -> None:
    """And so is its GPU's index given twice."""
    assert "names a device twice" in str(read_environment(f"{LEFT.id},MIG-{FIRST}/7/0", WITH_MIG).warning)
    assert "names a device twice" in str(read_environment("0,0", WITH_MIG).warning)


def test_cpu_slots_have_no_index_for_cuda() -> None:
    """``0`` is a GPU, never ``cpu:0``."""
    assert read_environment("0", (cpu_device(0),)).devices == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 2 , 0 ", [2, 0]),
        (SECOND, [1]),
        ("GPU-1f", [2]),
        pytest.param("0,GPU-1f", [0, 2], id="spellings may be mixed"),
    ],
)
def test_select_takes_the_named_devices_in_order(spec: str, expected: list[int]) -> None:
    """By index, UUID or unique prefix."""
    assert [device.index for device in select(spec, GPUS, GPUS)] == expected


def test_select_takes_every_instance_of_a_gpu_by_its_index() -> None:
    """And single ones by name."""
    assert select("0", WITH_MIG, WITH_MIG) == (LEFT, RIGHT)
    assert select(f"MIG-41f4,MIG-{FIRST}/8/0", WITH_MIG, WITH_MIG) == (LEFT, RIGHT)


OFFER = f"there are: 0 ({FIRST}), 1 ({SECOND}), 2 ({THIRD})"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("7", f"--gpupool-devices=7: no device '7' here; {OFFER}"),
        ("0,GPU-8a5c", f"--gpupool-devices=0,GPU-8a5c: no device 'GPU-8a5c' here; {OFFER}"),
        ("0,,1", f"--gpupool-devices=0,,1: no device '' here; {OFFER}"),
        ("0,", f"--gpupool-devices=0,: no device '' here; {OFFER}"),
        ("-1", f"--gpupool-devices=-1: no device '-1' here; {OFFER}"),
        ("gpu", f"--gpupool-devices=gpu: no device 'gpu' here; {OFFER}"),
        ("0,0", "--gpupool-devices=0,0 names GPU 0 twice; name it once"),
        ("2,GPU-1f", "--gpupool-devices=2,GPU-1f names GPU 2 twice; name it once"),
    ],
)
def test_select_refuses(spec: str, text: str) -> None:
    """The message names the list, the device and what there is; the run ends with status 4."""
    with pytest.raises(UsageProblem) as raised:
        select(spec, GPUS, GPUS)
    assert str(raised.value) == text
    assert raised.value.exit_status == 4


def test_select_refuses_a_hidden_device() -> None:
    """A device outside the environment's own list; the offer has what the environment leaves."""
    with pytest.raises(UsageProblem) as raised:
        select("2,1", GPUS[2:], GPUS)
    assert str(raised.value) == (
        f"--gpupool-devices=2,1: GPU 1 is hidden by CUDA_VISIBLE_DEVICES; there are: 2 ({THIRD})"
    )


def test_select_where_everything_is_hidden() -> None:
    """There is nothing to offer."""
    with pytest.raises(UsageProblem, match=r"GPU 0 is hidden by .*; no GPU is visible here \(see 'nvidia-smi'\)$"):
        select("0", (), GPUS)


def test_select_names_a_mig_instance_that_is_named_twice() -> None:
    """By the start of its UUID and its GPU."""
    with pytest.raises(UsageProblem, match="names MIG-41f40000 on GPU 0 twice; name it once"):
        select("MIG-41f4,0", WITH_MIG, WITH_MIG)


@pytest.mark.parametrize(
    ("devices", "how", "expected"),
    [
        ((GPUS[2],), "index", {"CUDA_VISIBLE_DEVICES": "2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ((GPUS[2], GPUS[0]), "index", {"CUDA_VISIBLE_DEVICES": "2,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ((GPUS[2], GPUS[0]), "uuid", {"CUDA_VISIBLE_DEVICES": f"{THIRD},{FIRST}"}),
        ((RIGHT,), "index", {"CUDA_VISIBLE_DEVICES": RIGHT.id}),
        ((RIGHT,), "uuid", {"CUDA_VISIBLE_DEVICES": RIGHT.id}),
        ((WITH_MIG[2], LEFT), "index", {"CUDA_VISIBLE_DEVICES": f"{SECOND},{LEFT.id}"}),
        ((cpu_device(3),), "index", {"CUDA_VISIBLE_DEVICES": "-1"}),
        ((cpu_device(3),), "uuid", {"CUDA_VISIBLE_DEVICES": "-1"}),
        ((), "index", {"CUDA_VISIBLE_DEVICES": "-1"}),
    ],
    ids=["gpu", "order", "uuid", "mig", "mig by uuid", "mig among gpus", "cpu", "cpu by uuid", "nothing"],
)
def test_export(devices: tuple[Device, ...], how: str, expected: dict[str, str]) -> None:
    """CUDA_DEVICE_ORDER goes with indices only; a MIG instance is always by UUID; a CPU slot hides every GPU."""
    assert how in ("index", "uuid")
    assert export(devices, "index" if how == "index" else "uuid") == expected


@pytest.mark.parametrize("how", ["index", "uuid"])
def test_what_export_writes_the_environment_reads_back(how: str) -> None:
    """The worker's list leaves exactly its devices."""
    for devices in ((GPUS[1],), (GPUS[2], GPUS[0]), GPUS):
        written = export(devices, "index" if how == "index" else "uuid")
        assert read_environment(written["CUDA_VISIBLE_DEVICES"], GPUS) == Visible(devices=devices)


@pytest.mark.parametrize(
    ("value", "expected", "token"),
    [("GPU-1f,0", [2], "0"), ("0,GPU-1f", [0], "GPU-1f"), ("GPU-1f,MIG-1", [2], "MIG-1")],
    ids=["an index after a uuid", "a uuid after an index", "a MIG after a uuid"],
)
def test_another_spelling_ends_the_list(value: str, expected: list[int], token: str) -> None:
    """What is spelled otherwise than the first is not looked at, and the warning says so."""
    visible = read_environment(value, GPUS)
    assert indices(visible) == expected
    assert visible.warning == (
        f"CUDA_VISIBLE_DEVICES={value}: {token!r} is spelled otherwise than the first, "
        "and CUDA ignores what comes after it"
    )
