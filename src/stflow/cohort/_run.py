"""Public verb: apply a model to all slides of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

import stflow
from stflow._device import resolve_device
from stflow._sdata.places import Lattice
from stflow._validation import listing, require_count, require_seed, warn
from stflow.cohort._cluster import on_cluster, require_workers
from stflow.cohort._folder import MODEL, Folder, told_failures
from stflow.cohort._manifest import Row, read_manifest, require_word
from stflow.cohort._plan import Plan, embed_words, model_digest, require_encoder
from stflow.cohort._serial import in_turn
from stflow.cohort._state import DONE, FAILED, State
from stflow.model import STFlow

if TYPE_CHECKING:
    from distributed import Client


def run(
    manifest: str | PathLike[str] | pd.DataFrame,
    path: str | PathLike[str],
    *,
    model: STFlow | str | PathLike[str],
    encoder: Any = None,
    client: Client | None = None,
    task: int = 0,
    tasks: int = 1,
    retries: int = 2,
    image_mpp: float | None = None,
    pitch_um: float | None = None,
    lattice: Lattice = "hex",
    n_neighs: int = 8,
    artifacts: bool = True,
    n_samples: int = 8,
    n_steps: int = 5,
    seed: int = 0,
    keep_image: bool = False,
    device: str = "auto",
    show_progress_bar: bool = True,
) -> pd.DataFrame:
    """Predict.

    TODO
    """
    rows = read_manifest(manifest)
    folder = Folder(Path(path).absolute())
    folder.run.require_room()
    fitted, place = _resolve_model(model)
    embed_words(fitted.encoder)
    encoder = fitted.encoder["encoder"] if encoder is None else encoder
    require_encoder(fitted, encoder)
    plan = Plan(
        model=place or folder.path / MODEL,
        digest=model_digest(fitted),
        encoder=encoder,
        image_mpp=image_mpp,
        pitch_um=pitch_um,
        lattice=lattice,
        n_neighs=n_neighs,
        artifacts=artifacts,
        n_samples=n_samples,
        n_steps=n_steps,
        seed=seed,
        keep_image=keep_image,
        device=device,
        version=stflow.__version__,
    )
    _require_files(rows)
    if client is not None:
        require_workers(client)
    mine = rows[task::tasks]
    with folder.claim(plan.identity(), task, tasks):
        if place is None and not plan.model.exists():
            fitted.save(plan.model)
        states = {row.slide: folder.state(row) for row in mine}
        left = [row for row in mine if states[row.slide].state != DONE]
        known: dict[str, State] = {}
        how: dict[str, Any] = {"desc": "cohort", "unit": "slide", "disable": not show_progress_bar}
        try:
            with tqdm(total=len(mine), initial=len(mine) - len(left), **how) as bar:
                do = in_turn if client is None else on_cluster
                for state in do(left, plan, folder, retries=retries, client=client):
                    known[state.slide] = state
                    bar.set_postfix_str(state.slide)
                    bar.update()
        finally:
            frame = folder.write_table(rows, known)
    failed = [state for state in known.values() if state.state == FAILED]
    if failed:
        warn(
            f"{len(failed)} of {len(mine)} slides failed: {told_failures(failed)}. The others are "
            "done; the same call tries these again."
        )
    return frame


def _resolve_model(model: STFlow | str | PathLike[str]) -> tuple[STFlow, Path | None]:
    """Return the model, and where it lies if it was named by its folder."""
    if isinstance(model, STFlow):
        return model, None
    place = Path(model).absolute()
    return STFlow.load(place), place


def _require_files(rows: Sequence[Row]) -> None:
    """Raise what is wrong with the files of a manifest, all at once."""
    wrong: list[tuple[Row, Exception]] = []
    for row in rows:
        try:
            row.find_kind()
        except (OSError, ValueError) as error:
            wrong.append((row, error))
    if wrong:
        told = listing([f"{row.slide}: {error}" for row, error in wrong], limit=5)
        raise type(wrong[0][1])(f"{len(wrong)} of {len(rows)} slides cannot be read: {told}")
