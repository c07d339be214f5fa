"""One slide on its way from files to a prediction, in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from spatialdata import SpatialData

from stflow import _keys, pp, tl
from stflow._sdata import get_table, has_spots, has_tissue, is_pitch, note_patient
from stflow.cohort._manifest import OF_SPOTS, Row
from stflow.cohort._plan import PITCH_UM, Plan, embed_words
from stflow.io import read_kind

Stage = Callable[[str], AbstractContextManager[None]]


def predict_slide(row: Row, plan: Plan, stage: Stage, *, cache: Path | bool) -> SpatialData:
    """Read a slide and predict it.

    Parameters
    ----------
    row, plan
        The slide, and how it is treated.
    stage
        Entered and left with each stage.
    cache
        Folder of vectors, so that an embedding that was cut off goes on, or False.
    """
    model, encoder = plan.load()
    with stage("read"):
        sdata, scale = read_row(row, plan.image_mpp)
    lay_spots(sdata, row, plan, stage, scale, trained_um=model.pitch_um)
    with stage("embed"):
        pp.embed(
            sdata,
            encoder=encoder,
            **embed_words(model.encoder),
            **scale,
            cache=cache if encoder.shows_weights else False,
            device=plan.device,
            overwrite=True,
            show_progress_bar=False,
        )
    with stage("neighbors"):
        link(sdata, row, plan, scale, trained_um=model.pitch_um)
    with stage("predict"):
        tl.predict(
            sdata,
            model,
            n_samples=plan.n_samples,
            n_steps=plan.n_steps,
            seed=plan.seed,
            device=plan.device,
            overwrite=True,
            show_progress_bar=False,
        )
    return sdata


def read_row(row: Row, image_mpp: float | None) -> tuple[SpatialData, dict[str, Any]]:
    """Read a slide; return also what later stages are told of the image of a store."""
    kind = row.find_kind()
    words = {"image_mpp": image_mpp, **row.words}
    for word in OF_SPOTS:
        words.pop(word, None)
    if kind != "store":
        sdata, scale = read_kind(row.path, kind, **words), {}
    else:
        scale = {word: words[word] for word in ("image_mpp", "image_key") if words.get(word)}
        sdata = read_kind(row.path, kind)
    if row.patient:
        note_patient(sdata, row.patient)
    return sdata, scale


def lay_spots(
    sdata: SpatialData,
    row: Row,
    plan: Plan,
    stage: Stage,
    scale: dict[str, Any],
    *,
    trained_um: float | None,
) -> None:
    """Find tissue and artifacts, and lay spots where there are none."""
    bare = not has_spots(sdata)
    if (bare or plan.artifacts) and not has_tissue(sdata):
        with stage("tissue"):
            pp.detect_tissue(sdata, **scale)
    if plan.artifacts:
        with stage("artifacts"):
            pp.mask_artifacts(sdata, overwrite=True, **scale)
    if bare:
        with stage("grid"):
            marked: dict[str, Any] = (
                {"exclude": _keys.ARTIFACTS, "max_covered": 1.0} if plan.artifacts else {}
            )
            pitch_um = row.words.get("pitch_um") or plan.pitch_um or trained_um or PITCH_UM
            lattice = row.words.get("lattice", plan.lattice)
            pp.grid(sdata, pitch_um, lattice=lattice, **marked, **scale)


def link(
    sdata: SpatialData, row: Row, plan: Plan, scale: dict[str, Any], *, trained_um: float | None
) -> None:
    """Find neighbours, at the pitch of the model where the spots lie at another."""
    how: dict[str, Any] = {"n_neighs": plan.n_neighs, "overwrite": True, **scale}
    pp.neighbors(sdata, **how)
    if trained_um is not None and not is_pitch(get_table(sdata, _keys.TABLE), trained_um):
        lattice = row.words.get("lattice", plan.lattice)
        pp.neighbors(sdata, pitch_um=trained_um, lattice=lattice, **how)
