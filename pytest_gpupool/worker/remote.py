"""The first code of ours in a worker. execnet sends it as source and runs it before pytest or any plugin is there.

What xdist's own worker program does at this point, it does too; then it hands over to ``program``.
"""

import sys

if __name__ == "__channelexec__":
    workerinput, args, option_dict, search_path = channel.receive()  # type: ignore[name-defined] # noqa: F821
    sys.path = search_path  # the controller's, as it was when Python started there
    try:
        from pytest_gpupool.worker import program
    except ModuleNotFoundError:
        # The controller found the package through pytest's "pythonpath", which is not in that path yet.
        sys.path.append(workerinput["gpupool_root"])
        from pytest_gpupool.worker import program

    program.main(channel, workerinput, args, option_dict)  # type: ignore[name-defined] # noqa: F821
