"""Exit codes, messages, and what goes to which stream."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from stflow._cli._command import Command, in_words_of_the_shell, note, write_result


def invoke(body, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run a command that does ``body``."""

    @click.command(cls=Command)
    @click.option("--image-mpp", type=float)
    @click.option("--overwrite", is_flag=True)
    def command(quiet: bool, **_: object) -> None:
        body(quiet)

    return CliRunner().invoke(command, arguments, env=env)


def raises(error: BaseException):
    def body(_: bool) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("`image_mpp` must be\n  positive."), "`image_mpp` must be positive."),
        (KeyError("No table 'a'; available: none."), "No table 'a'; available: none."),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'"),
        (TypeError("no frame"), "no frame"),
        (ImportError("Install wsidata."), "Install wsidata."),
        (RuntimeError("out of memory"), "out of memory"),
        (MemoryError(), "MemoryError"),
        (ValueError("Pass `overwrite=True`."), "Pass `--overwrite`."),
    ],
)
def test_a_known_error_is_one_line(error: Exception, message: str):
    result = invoke(raises(error))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"stflow: error: {message}\n"


def test_an_unknown_error_is_not_hidden():
    result = invoke(raises(ZeroDivisionError("a bug")))
    assert isinstance(result.exception, ZeroDivisionError)
    assert "stflow: error" not in result.output


@pytest.mark.parametrize(("arguments", "env"), [(["--debug"], {}), ([], {"STFLOW_DEBUG": "1"})])
def test_debug_shows_where_it_comes_from(arguments: list[str], env: dict[str, str]):
    result = invoke(raises(ValueError("wrong")), *arguments, env=env)
    assert isinstance(result.exception, ValueError)
    assert result.exit_code == 1


def test_ctrl_c_is_130():
    result = invoke(raises(KeyboardInterrupt()))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "stflow: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-mp", "1"], "No such option '--image-mp'"),
        (["--image-mpp", "wide"], "'wide' is not a valid float"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_2(arguments: list[str], message: str):
    result = invoke(lambda _: None, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_only_results_go_to_stdout():
    def body(quiet: bool) -> None:
        print("a library talks")
        note("done", quiet=quiet)
        write_result("1,2")

    result = invoke(body)
    assert result.stdout == "1,2\n"
    assert result.stderr == "a library talks\ndone\n"
    assert invoke(body, "--quiet").stderr == invoke(body, "-q").stderr == "a library talks\n"


def test_warnings_of_stflow_are_one_line_and_those_of_libraries_are_left_out():
    def body(_: bool) -> None:
        warnings.warn_explicit("Set `image_mpp=0.5`.", UserWarning, "f", 1, module="stflow.tl._fit")
        warnings.warn_explicit("noise", UserWarning, "f", 1, module="zarr.core")
        warnings.warn_explicit("old", FutureWarning, "f", 1, module="stflow.tl._fit")

    assert invoke(body).stderr == "stflow: warning: Set `--image-mpp 0.5`.\n"


def test_debug_shows_all_warnings():
    def body(_: bool) -> None:
        warnings.warn_explicit("noise", UserWarning, "f", 1, module="zarr.core")

    assert invoke(body, "--debug").stderr == "stflow: warning: noise\n"


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("Pass `image_mpp=`, or not.", "Pass `--image-mpp`, or not."),
        ("`overwrite=True` replaces it", "`--overwrite` replaces it"),
        ("use `image_mpp=0.5`", "use `--image-mpp 0.5`"),
        ("pass `inplace=False`", "pass `inplace=False`"),
        ("Run `stf.pp.embed(sdata)` first", "Run `stflow embed` first"),
        ("Run `stf.pp.neighbors(sdata)`.", "Run `stflow embed`."),
        (
            "Run `stf.pp.neighbors(sdata, pitch_um=282.8, overwrite=True)`.",
            "Run `stflow embed --pitch-um 282.8 --overwrite`.",
        ),
        ("Run `stf.tl.predict(..., n_samples=8)`", "Run `stflow predict`"),
        ("Run `stf.pl.training`", "Run `stf.pl.training`"),
        ("nothing to replace", "nothing to replace"),
    ],
)
def test_messages_say_what_to_type(message: str, typed: str):
    assert in_words_of_the_shell(message, {"image_mpp", "overwrite"}) == typed


@pytest.mark.parametrize(
    "program", [[sys.executable, "-m", "stflow"], [str(Path(sys.executable).parent / "stflow")]]
)
def test_version(program: list[str]):
    result = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("stflow, version ")
    assert result.stderr == ""
