"""The README's answers for practitioners: commands with what they print, and the table of known models."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from pathlib import Path

from click.testing import CliRunner

from weightdecay import figures, simulate
from weightdecay.cli import main

ROOT = Path(__file__).parent.parent
EPOCHS = 30

CONVERT = "convert --from nielsen --value 5 --lr 0.1 --n-train 50000 --batch-size 10"
PREDICT = """predict --lr 0.1 --lmbda 5 --n-train 50000 --batch-size 10 --epochs 30 \\
    --layer hidden=30x784,rms=1 --layer output=10x30,rms=1"""
PREDICT_MODEL = """predict --optimizer adamw --beta2 0.95 --lr warm-up:2000:cosine:3e-4:3e-5 --weight-decay 0.1 \\
    --steps 250000 --layer mlp=11008x4096 --number-format bfloat16"""
PLAN = """plan --optimizer adamw --lr 3e-4 --weight-decay 0.1 --n-train 1000000 --batch-size 512 \\
    --to-batch-size 2048"""
CLAIMS = """claims --lr 0.1 --lmbda 5 --n-train 50000 --batch-size 10 --epochs 30 --size variance \\
    --layer 'layer 2=30x784,start=1.01,end=0.08' --layer 'layer 3=10x30,start=1.15,end=3.62'"""
DIAGNOSE = """diagnose log.csv --lr 0.1 --lmbda 5 --n-train 50000 --batch-size 10 \\
    --shapes 'layer 2=30x784' --shapes 'layer 3=10x30'"""


def printed(command: str) -> str:
    """Return a command of the program and what it prints, as a console shows both."""
    done = CliRunner().invoke(main, shlex.split(command.replace("\\\n", " ")))
    assert done.exit_code == 0, done.output
    return f"```console\n$ weightdecay {command}\n{done.stdout.rstrip()}\n```"


def write_founding_log(path: Path) -> None:
    """Write the squared norms of the founding question's network, from the committed figure, as a log."""
    stem = ROOT / "figures/gallery/founding-question"
    report = figures.load(f"{stem}.csv", f"{stem}.json")
    parameters = report.provenance["parameters"]
    per_epoch = report.provenance["data"]["n_train"] // parameters["batch_size"]
    curves = {curve.name: curve for curve in report.curves if curve.panel == "tail-off"}
    lines = ["step,layer,norm_squared"]
    for layer in ("layer 2", "layer 3"):
        curve = curves[f"{layer}, trained"]
        lines += [
            f"{epoch * per_epoch:.0f},{layer},{size:.8g}"
            for epoch, size in zip(curve.x, curve.y, strict=True)
            if epoch <= EPOCHS
        ]
    path.write_text("\n".join(lines) + "\n")


def diagnosis() -> str:
    """Return the diagnosis of the founding question's log."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_founding_log(Path(os.curdir) / "log.csv")
        return printed(DIAGNOSE)


def models() -> str:
    """Return the table of known models."""
    lines = [
        "| model | optimizer | peak lr | weight decay | lr schedule | steps of the run | time constant, steps | "
        "run, time constants | start's norm² left by decay | source |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in simulate.published_runs():
        found = run.predict()
        cited = figures.cite([run.source], "markdown").strip().removeprefix("- ")
        author, _, rest = cited.partition("(")
        year = rest.partition(")")[0]
        link = rest.partition("](")[2].partition(")")[0]
        short = f"{author.split(',')[0].strip()} {year}"
        source = f"[{short}]({link})" if link else short
        lines.append(
            f"| {run.name} | {run.optimizer} | {run.lr_peak:g} | {run.weight_decay:g} | {run.words} | "
            f"{run.n_steps:,} | {found.time_constant_steps:,.0f} | {found.n_time_constants:.2g} | "
            f"{found.start_left:.1g} | {source} |"
        )
    return "\n".join(lines)


SECTIONS = {
    "convert": lambda: printed(CONVERT),
    "predict": lambda: printed(PREDICT),
    "predict-model": lambda: printed(PREDICT_MODEL),
    "plan": lambda: printed(PLAN),
    "claims": lambda: printed(CLAIMS),
    "diagnose": diagnosis,
    "models": models,
}
