"""Arguments: what ``--gpupool-engine-args`` hands on to srun, and what would break a worker there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...values.errors import UsageProblem

_ONE_TASK = "each worker is one task on one host; pytest's -n says how many workers"
_GPUS = "workers ask for the GPUs of their tests, @pytest.mark.gpupool(gpus=2); --gpus-per-task=TYPE says of which type"
_BYTES = "a worker's bytes go through srun as they are"
_NAMES = "by its job's or step's name a worker is found again"
_SHARES = "workers would get the same GPU"
_NO_WORKER = "with it srun starts no worker"
_CLUSTERS = "export SLURM_CLUSTERS, which SLURM's other programs read too"
_INSIDE = "start pytest within that job (salloc, sbatch)"

_REFUSED = {
    **dict.fromkeys(("--ntasks", "-n", "--nodes", "-N", "--ntasks-per-node", "--ntasks-per-core"), _ONE_TASK),
    **dict.fromkeys(("--ntasks-per-socket", "--ntasks-per-gpu", "--multi-prog", "--use-min-nodes"), _ONE_TASK),
    **dict.fromkeys(("--gpus", "-G", "--gpus-per-node", "--gpus-per-socket", "--gres", "--tres-per-task"), _GPUS),
    **dict.fromkeys(("--pty", "--input", "-i", "--output", "-o", "--error", "-e", "--label", "-l"), _BYTES),
    **dict.fromkeys(("--open-mode", "--unbuffered", "-u"), _BYTES),
    **dict.fromkeys(("--job-name", "-J"), _NAMES),
    **dict.fromkeys(("--overlap", "--oversubscribe", "-s", "--exact"), _SHARES),
    **dict.fromkeys(("--help", "-h", "--usage", "--version", "-V", "--test-only", "--no-allocate", "-Z"), _NO_WORKER),
    **dict.fromkeys(("--immediate", "-I"), "a worker that finds no GPU waits for one"),
    **dict.fromkeys(("--clusters", "-M"), _CLUSTERS),
    **dict.fromkeys(("--jobid", "--het-group"), _INSIDE),
}
_TYPE = "--gpus-per-task"
_LONG_FORMS = {"-p": "--partition", "-t": "--time", "-c": "--cpus-per-task", "-w": "--nodelist"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the user gave, checked; see :func:`parse`."""

    given: Mapping[str, str | None]
    gpu_type: str

    def value(self, option: str) -> str:
        """Return what was given of a long option, in either form; empty where nothing was."""
        for name in (option, *(short for short, long in _LONG_FORMS.items() if long == option)):
            if (value := self.given.get(name)) is not None:
                return value
        return ""

    def has(self, *options: str) -> bool:
        """Whether one of these long options was given, in either form."""
        return any(_LONG_FORMS.get(name, name) in options for name in self.given)

    def words(self) -> Iterator[str]:
        """Yield them as srun reads them."""
        for name, value in self.given.items():
            if value is None:
                yield name
            elif name.startswith("--"):
                yield f"{name}={value}"
            else:
                yield from (name, value)


def parse(given: Mapping[str, str | None]) -> Arguments:
    """Check what the user gave. What is not known here is left to srun.

    Raises:
        UsageProblem: a worker could not be what it must be with one of them.
    """
    kept = dict(given)
    kind = kept.pop(_TYPE, None) if _TYPE in kept else ""
    if kind is None or kind[:1].isdigit() or ":" in kind:
        raise UsageProblem(f"--gpupool-engine-args={_TYPE}: {_GPUS}")
    for name in kept:
        if not name.startswith("-"):
            raise UsageProblem(f"--gpupool-engine-args={name}: give srun's options as it has them, as --partition=NAME")
        if reason := _refused(name):
            raise UsageProblem(f"--gpupool-engine-args={name}: {reason}; leave it out")
    return Arguments(kept, kind)


def _refused(name: str) -> str:
    """Return why an option cannot be used. srun takes the beginning of a long one for it, too."""
    if name.startswith("--"):
        return next((why for option, why in _REFUSED.items() if len(name) > 2 and option.startswith(name)), "")
    return _REFUSED.get(name[:2], "")
