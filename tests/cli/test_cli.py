"""The program as a whole: help at once, the words and defaults of the API, a real process."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stflow as stf
from stflow._cli import main

SHELL = {"slide", "store", "stores", "model", "path", "output", "quiet", "debug"}
SHELL |= {"workers", "scheduler", "manifest"}
SHELL |= {"genes_file", "no_cache", "shape", "bin_um", "cells"}  # two of one reader alone
EMBEDDING = [stf.pp.embed, stf.encoders.get_encoder, stf.pp.grid, stf.pp.neighbors]
EMBEDDING += [stf.io.read_xenium]
CALLS = {
    "embed": (EMBEDDING, ["."]),
    "fit": ([stf.tl.fit, stf.pp.select_genes, stf.STFlow.save], [".", "-o", "model"]),
    "predict": ([stf.tl.predict], [".", "."]),
    "run": ([stf.cohort.run, stf.encoders.get_encoder], [__file__, "-m", ".", "-o", "out"]),
    "evaluate": ([stf.tl.evaluate, stf.STFlow.save], ["."]),
    "info": ([stf.pp.embed], ["."]),
}


@pytest.mark.parametrize("name", CALLS)
def test_options_are_words_of_the_api_with_its_defaults(name: str):
    calls, arguments = CALLS[name]
    words = {}
    for call in reversed(calls):
        words.update(inspect.signature(call).parameters)
    params = main.commands[name].make_context(name, arguments).params
    checked = {word: value for word, value in params.items() if word not in SHELL}
    assert checked
    for word, value in checked.items():
        assert word in words
        value = next(iter(value), None) if isinstance(value, tuple) else value
        assert value == words[word].default, word


def test_every_option_says_what_it_is():
    for command in main.commands.values():
        assert all(each.help for each in command.params if each.param_type_name == "option")
        assert len(command.get_short_help_str(100)) < 70


def test_help_loads_nothing_heavy():
    heavy = ["numpy", "torch", "spatialdata", "pandas", "timm"]
    code = (
        "import sys; from stflow._cli import main\n"
        "try: main(['--help'])\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    control = code.replace("import sys;", "import sys, numpy;")
    run = subprocess.run(
        [sys.executable, "-c", control], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "['numpy']"


@pytest.mark.slow
def test_a_real_process(disk: Path):
    """What a pipeline sees: a store that changed, a table on stdout, exit codes."""

    def stflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stflow", *arguments], capture_output=True, text=True
        )

    assert stflow("predict", "S3.zarr", "model", "--quiet").returncode == 0
    scores = stflow("evaluate", "S3.zarr", "--quiet")
    assert (scores.returncode, scores.stderr) == (0, "")
    lines = scores.stdout.splitlines()
    assert lines[0].startswith("gene,pearson,")
    assert len(lines) == 1 + 8
    missing = stflow("info", "S4.zarr")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "Path 'S4.zarr' does not exist." in missing.stderr
