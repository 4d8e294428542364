"""Where a result comes from: enough to make it again, and to see whether the code is still the same."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from importlib import metadata, resources
from typing import Any

from ..errors import InvalidInput, check_choice
from .comparison import plain
from .datasets import MNIST_CHECKSUM, Dataset

__all__ = ["code_checksum", "provenance"]

ROOMS = ("figures", "simulate", "theory", "validate")
PACKAGES = ("weightdecay", "numpy", "scipy", "sympy", "matplotlib")


def provenance(
    *,
    experiment: str,
    scale: str,
    seed: int | None,
    parameters: Mapping[str, Any],
    data: Dataset | None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what is needed to make a result again, as plain JSON values.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    scale : {"quick", "full"}
        Scale at which it ran.
    seed : int or None
        Seed from which all random numbers grew; None if the caller gave a Generator of unknown origin.
    parameters : mapping
        Hyperparameters and whatever else the result depends on. No paths: the result may be published.
    data : Dataset or None
        Data set that was used, if any.
    options : mapping, optional
        Options of the command line that were given beside scale, seed and data, by their Python names. True stands
        for a flag, a sequence for an option given several times.

    Returns
    -------
    dict
        experiment, scale, seed, parameters, data (name, checksum, n_train, pixel_scale), versions, command and
        code_sha256 (see `code_checksum`). NaN and infinity become None.

    Raises
    ------
    InvalidInput
        If the parameters hold something that JSON has no form for.

    Notes
    -----
    Versions are those of the installed distributions; nothing is imported to find them. A data set from elsewhere
    appears in the command by its name alone, since a path says nothing on another machine; its checksum identifies it.

    Examples
    --------
    >>> told = provenance(experiment="collapse", scale="quick", seed=1, parameters={"lr": 0.1}, data=None)
    >>> told["command"]
    'weightdecay validate collapse --scale quick --seed 1'
    >>> len(told["code_sha256"])
    64
    """
    told = {
        "experiment": experiment,
        "scale": check_choice("scale", scale, ("quick", "full")),
        "seed": seed,
        "parameters": dict(parameters),
        "data": data and {name: getattr(data, name) for name in ("name", "checksum", "n_train", "pixel_scale")},
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        "command": _command(experiment, scale, seed, data, options or {}),
        "code_sha256": code_checksum("theory", "simulate", "validate"),
    }
    try:
        values: dict[str, Any] = json.loads(json.dumps(plain(told), allow_nan=False))
    except TypeError as problem:
        raise InvalidInput(f"the provenance cannot be written as JSON ({problem}); give numbers and strings") from None
    return values


def _command(experiment: str, scale: str, seed: int | None, data: Dataset | None, options: Mapping[str, Any]) -> str:
    elsewhere = None if data is None or data.checksum == MNIST_CHECKSUM else data.name
    given = {"scale": scale, "seed": seed, "data": elsewhere} | dict(options)
    words = ["weightdecay", "validate", experiment]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            for item in value if isinstance(value, (list, tuple)) else (value,):
                words += [option, str(item)]
    return shlex.join(words)


def code_checksum(*room_names: str) -> str:
    """Return one SHA-256 over the installed modules of some rooms of the package.

    Parameters
    ----------
    *room_names : {"theory", "simulate", "validate", "figures"}
        Rooms whose modules made a result; their order does not matter.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InvalidInput
        If there is no such room, or none is named.

    Notes
    -----
    Each module enters with its room, name, length and bytes, in alphabetical order; line ends count as one
    byte, so that a checkout with other line ends has the same checksum. A committed figure cannot contain its own
    commit, and a wheel has no repository: this is what identifies the code in both.

    Examples
    --------
    >>> code_checksum("theory") == code_checksum("simulate")
    False
    """
    if not room_names:
        raise InvalidInput(f"no room is named; name at least one of: {', '.join(ROOMS)}")
    checksum = hashlib.sha256()
    for room in sorted({check_choice("room", name, ROOMS) for name in room_names}):
        modules = {file.name: file for file in (resources.files("weightdecay") / room).iterdir()}
        for name in sorted(name for name in modules if name.endswith(".py")):
            content = modules[name].read_bytes().replace(b"\r\n", b"\n")
            checksum.update(f"{room}/{name} {len(content)}\n".encode())
            checksum.update(content)
    return checksum.hexdigest()
