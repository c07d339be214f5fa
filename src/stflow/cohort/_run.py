"""Public verb: apply a model to all slides of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from stflow._sdata.places import Lattice
from stflow._validation import listing, require_count, warn
from stflow._workers import require_workers
from stflow.cohort._cluster import on_cluster
from stflow.cohort._estimate import estimate
from stflow.cohort._folder import MODEL, Folder
from stflow.cohort._manifest import Row, read_manifest
from stflow.cohort._plan import Plan
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
    dry_run: bool = False,
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
    """Apply a model to every slide of a manifest.

    Each slide is read; its tissue and artifacts are found, and spots laid where it has none; it is
    embedded as the model was, its neighbours are found, at the pitch of the model where its spots
    lie at another, and it is predicted. It ends in a store of its own, which is there whole or not
    at all. A slide that fails leaves one line why, and the others go on. Whatever ends a run, the
    same call goes on: finished slides are not done again, and the vectors of a half embedded one
    are kept.

    Parameters
    ----------
    manifest
        A CSV file, whose paths are seen from its folder, or a frame, whose paths are seen from the
        working directory, one row a slide: ``slide``, its name, and ``path``; and as needed
        ``patient``; ``kind``, one of ``"visium"``, ``"visium_hd"``, ``"xenium"``, ``"wsi"``,
        ``"store"``, or empty, told by what lies there; ``image_mpp``, ``image``, ``alignment``
        (a file or ``"identity"``), ``bin_um``, ``cells`` of the readers; ``image_key`` of a store;
        ``pitch_um`` and ``lattice``. An empty cell is not given.
    path
        Folder of results, of one model and one set of arguments. More slides may be added to it by
        another manifest.
    model
        What :func:`stflow.tl.fit` returned, or the folder of a saved one, which all workers must
        see, as the slides and ``path``.
    encoder
        What encodes, where the model cannot name it: a network, a callable, or what
        :func:`stflow.encoders.get_encoder` made with weights from a file. None: by its name.
    client
        A ``dask.distributed.Client``, whose workers take a slide at a time, each with one thread.
        None: this process.
    task, tasks
        Which share of the slides: of 4 tasks, task 1 does the second, the sixth and so on. The
        tasks of one array are one run, and may work at the same time.
    retries
        How often a slide is tried again in this call when it fails of what may pass, such as a
        full disk or a worker that died. What is wrong with a slide does not pass.
    dry_run
        Whether to open each slide, count its spots and encode some, and tell what a run would
        take. Nothing is written.
    image_mpp, pitch_um, lattice
        Of slides whose row does not say it: micrometres per pixel of the image; distance of the
        spots to lay, None as the model knows, else 100; their lattice, and the model's where
        spots lie at another pitch.
    n_neighs
        Number of neighbours of a spot.
    artifacts
        Whether to look for pen, folds and blur, and mark the spots on them.
    n_samples, n_steps, seed
        As :func:`stflow.tl.predict` takes them.
    keep_image
        Whether stores hold the image too, at its size without compression by the scanner. Else
        they name the file in ``.attrs["slide_properties"]["source"]``.
    device
        Where to compute, on each worker: ``"auto"`` or a torch device.
    show_progress_bar
        Whether to show progress, in slides.

    Returns
    -------
    One row a slide of the manifest, and of earlier ones in this folder: ``slide``, ``patient``,
    ``state`` (``"queued"``, ``"running"`` in another task, ``"done"``, ``"failed"``), ``stage``
    and ``error`` where it failed; ``spots``; ``novelty``, the share of them that look unlike the
    slides of the fit; ``artifacts``, the share of their area; ``seconds`` in all and of each stage;
    ``attempts``, ``warnings``, ``versions`` (with the number of threads of torch), ``started``,
    ``worker``. Written are:

    ``path/<slide>.zarr``
        SpatialData with spots, tissue, artifacts and the table that ``predict`` wrote.
    ``path/state/<slide>.json``
        How far a slide is that was begun.
    ``path/cohort.csv``
        What is returned, at the end, whatever ends it.
    ``path/model``
        The model, where it was not given by its folder.

    By ``dry_run``: ``slide``, ``patient``, ``kind``, ``width_px``, ``height_px``, ``image_mpp``,
    ``spots``, ``minutes``, ``memory_gib``, ``disk_gib``, ``problem``; in ``.attrs``, ``minutes``
    on one worker, ``disk_gib``, and ``free_gib``, the room there is.

    Raises
    ------
    FileExistsError
        ``path`` holds something else.
    FileNotFoundError
        The manifest, the model or slides are not there.
    RuntimeError
        Another run works in ``path``, workers lack stflow or have another version, or the
        scheduler was lost.
    TypeError
        ``client`` or ``model`` is something else.
    ValueError
        The manifest has unknown columns, no rows, a slide twice or a row that makes no sense;
        ``path`` is of another model or of other arguments; the encoder of the model cannot be had;
        workers have several threads; or an argument is out of its range.

    Warns
    -----
    UserWarning
        Slides failed.

    Examples
    --------
    >>> table = stf.cohort.run("slides.csv", "predicted", model="her2.stflow")  # doctest: +SKIP
    """
    rows = read_manifest(manifest)
    _require_share(task, tasks, retries)
    folder = Folder(Path(path).absolute())
    folder.run.require_room()
    how: dict[str, Any] = {
        "image_mpp": image_mpp,
        "pitch_um": pitch_um,
        "lattice": lattice,
        "n_neighs": n_neighs,
    }
    how |= {"artifacts": artifacts, "n_samples": n_samples, "n_steps": n_steps, "seed": seed}
    how |= {"keep_image": keep_image, "device": device}
    plan, fitted = Plan.make(model, encoder, keeping=folder.path / MODEL, **how)
    if dry_run:
        return estimate(rows, plan, fitted, folder, show_progress_bar=show_progress_bar)
    _require_files(rows)
    if client is not None:
        require_workers(client)
    mine = rows[task::tasks]
    with folder.claim(plan.identity(), task, tasks):
        if isinstance(model, STFlow) and not plan.model.exists():
            fitted.save(plan.model)
        return _do(rows, mine, plan, folder, client, retries, show=show_progress_bar)


def _do(
    rows: Sequence[Row],
    mine: Sequence[Row],
    plan: Plan,
    folder: Folder,
    client: Client | None,
    retries: int,
    *,
    show: bool,
) -> pd.DataFrame:
    """Do what is left of a share, and write the table of all, whatever happens."""
    left = [row for row in mine if folder.state(row).state != DONE]
    known: dict[str, State] = {}
    how: dict[str, Any] = {"desc": "cohort", "unit": "slide", "disable": not show}
    if client is None:
        settled = in_turn(left, plan, folder, retries=retries)
    else:
        settled = on_cluster(left, plan, folder, retries=retries, client=client)
    try:
        with tqdm(total=len(mine), initial=len(mine) - len(left), **how) as bar:
            for state in settled:
                known[state.slide] = state
                bar.set_postfix_str(state.slide)
                bar.update()
    finally:
        frame = folder.write_table(rows, known)
    failed = [state for state in known.values() if state.state == FAILED]
    if failed:
        told = listing([f"{state.slide}: {state.error}" for state in failed], limit=3)
        warn(
            f"{len(failed)} of {len(mine)} slides failed: {told}. The others are done; the same "
            "call tries these again."
        )
    return frame


def _require_share(task: int, tasks: int, retries: int) -> None:
    """Raise ``ValueError`` unless there is such a share."""
    require_count(tasks, name="tasks")
    if task not in range(tasks):
        raise ValueError(f"`task` is {task!r}; of {tasks} tasks it must be from 0 to {tasks - 1}.")
    if retries not in range(100):
        raise ValueError(f"`retries` must be a whole number from 0 to 99, not {retries!r}.")


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
        kinds = [type(error) for _, error in wrong]
        kind = kinds[0] if kinds[0] in (FileNotFoundError, ValueError) else OSError
        raise kind(f"{len(wrong)} of {len(rows)} slides cannot be read: {told}")
