"""The command ``stflow push``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import Command, write_result


@click.command(cls=Command)
@click.argument("model", type=opt.FOLDER)
@click.argument("repo", metavar="OWNER/NAME")
@opt.option("--tissue", metavar="WORDS", help="What the slides show, for the card.")
@opt.option("--licence", metavar="NAME", help="Of the model, as the hub writes it: cc-by-nc-4.0.")
@opt.option("--names", is_flag=True, help="Name slides and patients instead of numbering them.")
@opt.option("--private/--public", default=None, help="Who sees a repository that is new.")
@opt.option("--revision", metavar="BRANCH", help="Branch to write to; left out, the main one.")
def push(model: Path, repo: str, quiet: bool, **how: Any) -> None:
    """Put a model on the Hugging Face hub; print the address of the commit.

    Your token is that of `hf auth login`, or in HF_TOKEN.
    """
    from stflow.model import STFlow

    write_result(STFlow.load(model).push_to_hub(repo, **how))
