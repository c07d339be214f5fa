"""What all commands share: one line on stderr when something is wrong, results alone on stdout."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, TextIO

import click

KNOWN = (ValueError, KeyError, TypeError, OSError, ImportError, RuntimeError, MemoryError)
INTERRUPTED = 130
TYPED = {"np.eye(3)": "identity"}
COMMANDS = {"embed": "embed", "neighbors": "embed", "fit": "fit", "predict": "predict"}


@dataclass(frozen=True, slots=True)
class _Run:
    """What one command keeps: where its results go, and what was warned of."""

    stdout: TextIO
    warned: list[str] = field(default_factory=list)


class Failure(click.ClickException):
    """An error that the user can do something about."""

    def show(self, file: Any = None) -> None:
        """Print one line on stderr."""
        _tell("error", self.message)


class Command(click.Command):
    """A command with ``--quiet`` and ``--debug`` that says what went wrong in one line.

    Only what it hands to `write_result` goes to stdout, whatever libraries print.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="No progress bars and notes."),
            click.Option(
                ["--debug"],
                is_flag=True,
                envvar="STFLOW_DEBUG",
                help="Show where an error comes from, and all warnings.  [env: STFLOW_DEBUG]",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        ctx.obj = _Run(sys.stdout)
        debug = ctx.params.pop("debug")
        options = {param.name for param in self.params if param.name}
        try:
            with redirect_stdout(sys.stderr), _warnings(options, ctx.obj.warned, everything=debug):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stflow: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.Abort):
            raise
        except KNOWN as error:
            if debug:
                raise
            from stflow._validation import told  # loads numpy

            raise Failure(in_words_of_the_shell(told(error), options)) from error


def write_result(text: str) -> None:
    """Print a result on stdout."""
    click.echo(text, file=_run().stdout)


def given(name: str) -> bool:
    """Whether an option was typed rather than left at its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def note(text: str, *, quiet: bool) -> None:
    """Say on stderr what was done."""
    if not quiet:
        click.echo(text, err=True)


def in_words_of_the_shell(message: str, options: Collection[str]) -> str:
    """Replace arguments and calls of the API in a message by what to type.

    Parameters
    ----------
    message
        Has arguments as `` `overwrite=True` `` and calls as `` `stf.pp.embed(sdata)` ``.
    options
        Names that are options of the command.
    """

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        return f"`{_typed(name, value)}`" if name in options else found[0]

    def call(found: re.Match[str]) -> str:
        name, inside = found.groups()
        if name not in COMMANDS:
            return found[0]
        words = re.findall(r"(\w+)=([^,]+)", inside or "") if name == "neighbors" else []
        typed = [_typed(word, value) for word, value in words]
        return f"`{' '.join(['stflow', COMMANDS[name], *typed])}`"

    message = re.sub(r"`(\w+)=([^`]*)`", option, message)
    return re.sub(r"`stf\.\w+\.(\w+)(?:\(([^`]*)\))?`", call, message)


def _typed(name: str, value: str) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value in ("", "True") else f"{option} {TYPED.get(value, value)}"


def _run() -> _Run:
    return click.get_current_context().obj


def _tell(kind: str, message: str) -> None:
    click.echo(f"stflow: {kind}: {' '.join(message.split())}", err=True)


@contextmanager
def _warnings(options: Collection[str], warned: list[str], *, everything: bool) -> Iterator[None]:
    """Show warnings of stflow as one line each; those of libraries only with ``everything``."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) in warned:
            return
        warned.append(str(message))
        _tell("warning", in_words_of_the_shell(str(message), options))

    with warnings.catch_warnings():
        warnings.simplefilter("always" if everything else "ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"(stflow|click)\b")
        warnings.showwarning = show
        yield
