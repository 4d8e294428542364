"""The command as the shell sees it: start-up, pipes, interrupts, terminals without Greek letters."""

import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "weightdecay"]


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["figures", "--help"], ["derive", "--help"], ["--version"]])
def test_help_needs_no_heavy_library(arguments):
    program = (
        "import sys\n"
        "from weightdecay.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "finally:\n"
        "    print(sorted({'numpy', 'scipy', 'sympy', 'matplotlib', 'tqdm', 'jinja2'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (0, "[]") == (done.returncode, done.stdout.splitlines()[-1]), done.stderr


def test_a_reader_that_goes_away_is_no_error():
    program = subprocess.Popen(
        [*COMMAND, "derive", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    program.stdout.close()
    assert b"" == program.stderr.read()
    program.stderr.close()
    assert 141 == program.wait(timeout=120)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="interrupts are sent another way here")
@pytest.mark.parametrize("seconds", [0.2, 0.7, 1.5, 3.0])  # while the processes start, and into the training
def test_an_interrupt_ends_the_command_in_one_line_and_leaves_no_file(tmp_path, seconds):
    out = tmp_path / "out"
    program = subprocess.Popen(
        [*COMMAND, "figures", "--out", str(out), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(seconds)
    os.killpg(program.pid, signal.SIGINT)  # as the terminal does: to the command and its workers
    stdout, stderr = program.communicate(timeout=60)
    assert ("", "Interrupted.") == (stdout, stderr.strip())
    # Python ends by the signal itself if that came while text was compiled, as by a dataclass; shells say 130 to both
    assert program.returncode in (130, -signal.SIGINT)
    assert not out.exists()


def test_a_terminal_without_greek_letters_gets_question_marks():
    done = run("derive", "nielsen-claim-2", env=os.environ | {"PYTHONIOENCODING": "latin-1"})
    assert 0 == done.returncode, done.stderr
    assert "exp(???/m)" in done.stdout


def test_an_error_is_one_sentence_on_stderr():
    done = run("derive", "no-such-derivation")
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("Error: derivation is 'no-such-derivation', but must be one of: ")
    assert 1 == len(done.stderr.splitlines())
