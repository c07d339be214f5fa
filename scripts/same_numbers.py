"""Show that a change of the code changes no result: write digests before, compare after.

``python scripts/same_numbers.py write before.json``, then ``... check before.json`` on the same
machine. Her2st is taken where it is at hand (``STFLOW_DATA_DIR``), synthetic tissue always.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from spatialdata import SpatialData

import stflow as stf

QUIET: dict[str, Any] = {"show_progress_bar": False}


def digest(*arrays: Any) -> str:
    """Digest of the values of arrays; of floats, their bits."""
    found = blake2b(digest_size=8)
    for array in map(np.asarray, arrays):
        plain = array.astype(str) if array.dtype.kind in "OTU" else array
        found.update(f"{plain.shape};".encode() + np.ascontiguousarray(plain).tobytes())
    return found.hexdigest()


def of_frame(frame: pd.DataFrame) -> str:
    """Digest of a table of results, but for seconds, memory and what summation order rounds."""
    kept = frame[[name for name in frame if not name.endswith(("_s", "_mib"))]].round(12)
    return digest(*(kept[name].to_numpy() for name in kept))


def tissues() -> Iterator[tuple[str, dict[str, SpatialData]]]:
    """Yield what is computed on: four slides a tissue, the last to be predicted."""
    yield "synthetic", stf.datasets.synthetic(4, n_spots=150)
    try:
        yield "her2st", {name: stf.datasets.her2st(name) for name in ("C2", "C3", "C4", "C5")}
    except OSError as error:
        print(f"no her2st: {error}", file=sys.stderr)


def of_prediction(test: SpatialData) -> Iterator[tuple[str, str]]:
    """Digests of all that `predict` wrote."""
    table = test["table"]
    for key in ("stflow", "stflow_sd", "stflow_samples", "X_stflow"):
        yield f"predict {key}", digest(table.obsm[key])
    yield "predict novelty", digest(table.obs["stflow_novelty"])


def of_tissue(slides: Mapping[str, SpatialData]) -> Iterator[tuple[str, str]]:
    """Digests of each verb of the main job, and of a small benchmark."""
    for sdata in slides.values():
        stf.pp.embed(sdata, **QUIET)
        stf.pp.neighbors(sdata)
    *training, last = slides
    yield "embed", digest(*(each["table"].obsm["X_embedding"] for each in slides.values()))
    train, test = {name: slides[name] for name in training}, slides[last]
    genes = stf.pp.select_genes(train, n_top_genes=20)
    yield "select_genes", digest(genes)
    model = stf.tl.fit(train, genes, config={"n_flows": 2}, max_epochs=4, **QUIET)
    yield "fit", of_frame(model.history)
    yield "trust", of_frame(model.trust.reset_index())
    seen = np.arange(test["table"].n_obs) < 9
    stf.tl.predict(test, model, n_samples=3, keep_samples=True, **QUIET)
    yield from of_prediction(test)
    yield "evaluate", of_frame(stf.tl.evaluate(test))
    stf.tl.predict(test, model, n_samples=3, observed=seen, overwrite=True, **QUIET)
    yield "predict observed", digest(test["table"].obsm["stflow"], test["table"].obsm["stflow_sd"])
    stf.tl.attention(test, model, **QUIET)
    yield "attention", digest(test["table"].obsp["stflow_attention"].data)
    how: dict[str, Any] = {"n_samples": 2, "n_top_genes": 8, **QUIET}
    fitting = {"config": {"n_flows": 1}, "max_epochs": 2}
    scores = stf.tl.cross_validate(slides, fit_kwargs=fitting, **how)
    yield "cross_validate", of_frame(scores)
    compared = pd.DataFrame(scores.attrs["comparison"]).drop(columns="by_fold")
    yield "comparison", of_frame(compared)
    yield "bench", of_frame(benchmark(slides))


def benchmark(slides: Mapping[str, SpatialData]) -> pd.DataFrame:
    """Run a few methods on one fold."""
    task = stf.bench.from_slides(slides, name="same")
    methods = ["ridge", "hist2st", "flow_egnn", "stflow"]
    with tempfile.TemporaryDirectory() as folder:
        return stf.bench.run(
            [task],
            folder,
            methods=methods,
            protocols=["hest"],
            folds=[task.splits[0].name],
            n_top_genes=8,
            max_epochs=1,
            **QUIET,
        )


def main(what: str, file: Path) -> None:
    """Write the digests, or compare with those that were written."""
    warnings.simplefilter("ignore")
    found = {f"{tissue} {what}": d for tissue, each in tissues() for what, d in of_tissue(each)}
    if what == "write":
        file.write_text(json.dumps(found, indent=2) + "\n")
        return
    before = json.loads(file.read_text())
    differ = [name for name in {**before, **found} if before.get(name) != found.get(name)]
    print(f"{len(found)} results, {len(differ)} differ: {', '.join(differ) or 'all the same'}")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
