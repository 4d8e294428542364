"""The founding question: Nielsen's network, its two layers, and the exercise's three claims.

A student trained the network [784, 30, 10] of the book's chapter 3 with L2 regularization, found that layer 2 shrank
and layer 3 grew, and asked why. The same run is made here from several seeds, and the book's other examples beside it:
30 and 100 hidden neurons, from the old N(0, 1) and the new N(0, 1/fan_in) start.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import check_count, check_nonnegative, check_positive
from .comparison import Report
from .configuration import TrainingConfig
from .datasets import MNIST_CHECKSUM, Dataset
from .founding_comparisons import STARTS, Findings, comparisons, starts
from .founding_curves import accuracy_curves, budget_curves, size_curves, tail_off_curves, variance_curves
from .provenance import provenance
from .record import Recording
from .seeds import spawned_seeds
from .sweep import Run, train_all
from .training import raise_if_diverged

__all__ = ["run"]

_STUDENTS_RUN = {"eta": 0.1, "lmbda": 5.0, "hidden": 30, "epochs": 30, "batch_size": 10}
_N_SEEDS = {
    "quick": (5, 2, 0),
    "full": (10, 5, 3),
}  # of the student's run, of the book's other examples, of the long run
_LONG_EPOCHS = 300


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
    eta: float = 0.1,
    lmbda: float = 5.0,
    hidden: int = 30,
    epochs: int = 30,
    batch_size: int = 10,
) -> Report:
    """Answer the founding question on real data.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.
    eta, lmbda : float, optional
        Learning rate and regularization parameter in the book's convention.
    hidden, epochs, batch_size : int, optional
        Hidden neurons, epochs, examples in a mini-batch. By default all five are the student's.

    Returns
    -------
    Report
        With the student's numbers as references if the run is the student's.

    Raises
    ------
    InvalidInput
        If a value is outside its range.
    DivergenceError
        If a run diverges; it says at which step and in which layer.
    """
    check_count("hidden", hidden)
    eta, lmbda = check_positive("eta", eta), check_nonnegative("lmbda", lmbda)
    parameters = {"eta": eta, "lmbda": lmbda, "hidden": hidden, "epochs": epochs, "batch_size": batch_size}
    of_student = parameters == _STUDENTS_RUN and data.checksum == MNIST_CHECKSUM

    def config(hidden: int, initialization: str, epochs: int) -> TrainingConfig:
        return TrainingConfig.nielsen(
            layers=[data.n_inputs, hidden, data.n_classes],
            eta=eta,
            lmbda=lmbda,
            batch_size=batch_size,
            epochs=epochs,
            initialization=initialization,
        )

    widths = (30, 100) if hidden == _STUDENTS_RUN["hidden"] else (hidden,)
    examples = [(width, start) for width in widths for start in STARTS]
    n_seeds, n_example_seeds, n_long_seeds = _N_SEEDS[scale]
    main_seed, examples_seed, long_seed = spawned_seeds(rng, 3)
    plain = Recording(pulls=False, evaluate=("validation",))
    runs = [
        Run(config(hidden, "large", epochs), seed, Recording(every_step=True, evaluate=("validation",)))
        for seed in main_seed.spawn(n_seeds)
    ]
    for (width, start), own_seed in zip(examples, examples_seed.spawn(len(examples)), strict=True):
        if (width, start) != (hidden, "large"):
            runs += [Run(config(width, start, epochs), seed, plain) for seed in own_seed.spawn(n_example_seeds)]
    runs += [
        Run(config(hidden, "large", _LONG_EPOCHS), seed, Recording(evaluate=()))
        for seed in long_seed.spawn(n_long_seeds)
    ]
    records = train_all(runs, data, n_jobs=n_jobs, progress=progress)
    for record in records:
        raise_if_diverged(record)

    main, others = records[:n_seeds], records[n_seeds:]
    by_example = {(hidden, "large"): main}
    for example in examples:
        if example not in by_example:
            by_example[example], others = others[:n_example_seeds], others[n_example_seeds:]
    weight_decay = float(main[0].config.tabulate(data.n_train)[1][0])
    findings = Findings(main, data, eta, weight_decay)
    return Report(
        experiment="founding-question",
        comparisons=(*comparisons(findings, of_student=of_student), *starts(by_example)),
        curves=(
            *variance_curves(findings, of_student=of_student),
            *budget_curves(findings),
            *size_curves(findings, by_example),
            *accuracy_curves(by_example),
            *(tail_off_curves(Findings(others, data, eta, weight_decay)) if others else ()),
        ),
        provenance=provenance(
            experiment="founding-question",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                **parameters,
                "weight_decay": weight_decay,
                "n_seeds": n_seeds,
                "n_example_seeds": n_example_seeds,
                "n_long_seeds": n_long_seeds,
                "dtype": main[0].config.dtype,
                "batches": main[0].batches,
                "seeds": [dict(record.seed) for record in records],
            },
            data=data,
            options={name: value for name, value in parameters.items() if value != _STUDENTS_RUN[name]},
        ),
    )
