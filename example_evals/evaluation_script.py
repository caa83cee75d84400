"""A stand-alone evaluation: kernel ridge classification of scikit-learn's digits.

    python evaluation_script.py --params '{"kernel": "gaussian", "ridge": 0.01}'

prints one JSON object of metrics as its last line. The script uses the first visible GPU, if there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

DEFAULTS: dict[str, Any] = {"kernel": "gaussian", "ridge": 0.01}
KERNELS = ["linear", "gaussian"]


def main() -> None:
    """Evaluate the parameters given on the command line."""
    parser = argparse.ArgumentParser(description="Evaluate kernel ridge classification on the digits data.")
    parser.add_argument("--params", required=True, metavar="JSON", help=f"defaults: {json.dumps(DEFAULTS)}")
    arguments = parser.parse_args()
    try:
        parameters = parse_parameters(arguments.params)
    except ValueError as error:
        sys.exit(f"bad parameters: {error}")
    print(json.dumps(evaluate(**parameters)))


def parse_parameters(text: str) -> dict[str, Any]:
    """Return the parameters in a JSON object, completed by the defaults, or raise ValueError."""
    given = json.loads(text)
    if not isinstance(given, dict) or not given.keys() <= DEFAULTS.keys():
        raise ValueError(f"expected a JSON object with names from {list(DEFAULTS)}, got {text}")
    parameters = DEFAULTS | given
    kernel, ridge = parameters["kernel"], parameters["ridge"]
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {KERNELS}, got {kernel!r}")
    if isinstance(ridge, bool) or not isinstance(ridge, int | float) or not 0 < ridge < math.inf:
        raise ValueError(f"ridge must be a number above 0, got {ridge!r}")
    return parameters


def evaluate(kernel: str, ridge: float) -> dict[str, float]:
    """Fit the classifier on three quarters of the digits and score it on the others."""
    # Imported here, so that bad parameters are reported without a wait.
    import torch
    from torch.nn.functional import one_hot

    torch.set_num_threads(1)  # The number of CPU threads would change the last digits of the metrics.
    train_x, test_x, train_y, test_y = load_data("cuda" if torch.cuda.is_available() else "cpu")
    penalty = ridge * len(train_x) * torch.eye(len(train_x)).to(train_x)
    system = kernel_matrix(kernel, train_x, train_x) + penalty
    coefficients = torch.linalg.solve(system, one_hot(train_y).to(train_x))
    scores = kernel_matrix(kernel, test_x, train_x) @ coefficients
    return {
        "accuracy": float((scores.argmax(dim=1) == test_y).double().mean()),
        "squared_error": float((scores - one_hot(test_y)).square().mean()),
        "held_out_items": len(test_y),
    }


def load_data(device: str) -> list[Tensor]:
    """Return training inputs, held-out inputs, training labels and held-out labels."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    return [torch.from_numpy(part).to(device) for part in parts]


def kernel_matrix(kernel: str, a: Tensor, b: Tensor) -> Tensor:
    """Return the kernel's value for each pair of rows of `a` and `b`."""
    if kernel == "linear":
        return a @ b.T + 1
    return (-a.square().sum(1, keepdim=True) + 2 * a @ b.T - b.square().sum(1)).mul(0.1).exp()


if __name__ == "__main__":
    main()
