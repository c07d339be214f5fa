"""One method on one fold of a benchmark: read, fit, predict, score, keep."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from stflow._device import resolve_device
from stflow._digest import digest
from stflow._sdata.expression import Counting
from stflow._splits import Split
from stflow._units import are_enough
from stflow.baselines import Baseline
from stflow.bench._embeddings import Embedder
from stflow.bench._folds import Reader
from stflow.bench._measure import Measure, let_go
from stflow.bench._results import PREDICTIONS, TRUTHS, Key, OtherDataError, Results
from stflow.bench._scores import score
from stflow.encoders.families import identify
from stflow.slide import Slide, measured_spots


def reads_tiles(method: Baseline) -> bool:
    """Whether a method learns from tiles rather than from an embedding of them."""
    return getattr(method, "reads", "embedding") == "tiles"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One method on one fold.

    Parameters
    ----------
    key, split
        Which.
    method
        Unfitted; a copy is fitted and let go.
    embedder
        Makes its embeddings; None for methods that learn from tiles.
    """

    key: Key
    split: Split
    method: Baseline
    embedder: Embedder | None

    @property
    def counting(self) -> Counting:
        """How counts are read: raw ones of every spot, as HEST-bench and the paper score them."""
        units = self.key.units
        return Counting(units, min_counts=0.0 if units == "counts" else None)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on beside its key."""
        weights = getattr(self.method, "weights", None)
        return {
            "max_epochs": getattr(self.method, "max_epochs", None),
            "weights": None if weights is None else identify(weights),
        }

    def is_done(self, results: Results) -> bool:
        """Tell whether there is a result.

        Raises
        ------
        ValueError
            There is one with other settings.
        """
        found = results.row(self.key)
        if found is None or found["error"]:
            return False
        other = {name: found.get(name) for name in self.settings}
        if other != self.settings:
            raise ValueError(
                f"{results.path} holds {self.key.name} with {other}, not {self.settings}. Name "
                "another folder."
            )
        return True

    def do(self, reader: Reader) -> Exception | None:
        """Do it, and keep what comes of it, or why nothing did, which is returned too.

        Raises
        ------
        OtherDataError
            Other results of the fold were made with other data.
        """
        row = {
            **self.settings,
            "device": str(self._device()),
            "constructed": reader.task.constructed,
            "error": "",
        }
        failure = None
        try:
            row |= self._attempt(reader)
        except OtherDataError:
            raise
        except Exception as error:  # noqa: BLE001  # other results can still be had
            row |= {"error": f"{type(error).__name__}: {error}", "pearson": np.nan}
            failure = error.with_traceback(None)
        reader.results.add(self.key, row)
        return failure

    def _device(self) -> torch.device:
        return resolve_device(getattr(self.method, "device", "cpu"))

    def _attempt(self, reader: Reader) -> dict[str, Any]:
        """Read, fit and predict; keep the prediction, and return scores and costs."""
        train, test = self._read(reader)
        truth = _truth(train, test, self.counting)
        given = {truth_name(self.key): truth, **self._brought(reader)}
        new = {place: a for place, a in given.items() if not reader.results.has_given(place, **a)}
        costs, predicted = self._run(train, test)
        measured, totals, kept = (truth[name] for name in ("measured", "totals", "scored"))
        how: dict[str, Any] = {"totals": totals[kept], "units": self.key.units}
        target = reader.task.target
        how["smoothed"] = target is not None and target.smoothed
        scores = score(measured[kept], predicted[kept], seed=self.key.seed, **how)
        for place, arrays in new.items():
            reader.results.write_arrays(place, **arrays)
        reader.results.write_arrays(prediction_name(self.key), predicted=predicted)
        return {
            "n_train": sum(slide.n_spots for slide in train),
            "n_test": int(kept.sum()),
            "n_left_out": int((~kept).sum()),
            **self._embedding_cost(reader),
            **scores,
            **costs,
        }

    def _read(self, reader: Reader) -> tuple[list[Slide], list[Slide]]:
        """Read training slides without the spots that measured too little, and test slides."""
        genes = reader.genes(self.split, self.key.protocol, self.counting)
        others = reader.auxiliary(self.split, genes, self.counting)
        how: dict[str, Any] = {"counting": self.counting, "tiles": reads_tiles(self.method)}
        train = reader.slides(self.split.train, genes, self.embedder, auxiliary=others, **how)
        test = reader.slides(self.split.test, genes, self.embedder, **how)
        return [measured_spots(slide, self.counting.min_counts) for slide in train], test

    def _run(self, train: list[Slide], test: list[Slide]) -> tuple[dict[str, Any], np.ndarray]:
        """Fit and predict; return costs, and the prediction of all test spots."""
        device = self._device()
        more = {}
        if getattr(self.method, "peeks", False):
            more["peek"] = [measured_spots(slide, self.counting.min_counts) for slide in test]
        let_go()
        with Measure(device) as fitting:
            fitted = copy.copy(self.method).fit(train, seed=self.key.seed, **more)
        nothing: dict[str, Any] = {"expression": None, "totals": None, "auxiliary": None}
        unknown = [replace(slide, genes=(), **nothing) for slide in test]
        with Measure(device) as predicting:
            predicted = np.concatenate([fitted.predict(slide) for slide in unknown])
        if not np.isfinite(predicted).all():
            raise ValueError("The prediction holds NaN or infinite values.")
        costs = {
            "fit_s": fitting.seconds,
            "predict_s": predicting.seconds,
            "fit_mib": fitting.peak_mib,
            "predict_mib": predicting.peak_mib,
            "choice": " ".join(f"{value:g}" for value in fitted.choice),
        }
        return costs, predicted

    def _brought(self, reader: Reader) -> dict[str, dict[str, np.ndarray]]:
        """Tell embeddings that the user made from others."""
        if self.embedder is None:
            return {}
        places: dict[str, np.ndarray] = {}
        for name in (*self.split.train, *self.split.test):
            vectors = reader.embedded(name, self.embedder).vectors
            places |= self.embedder.fingerprint(reader.task, name, vectors)
        return {place: {"vectors": digest} for place, digest in places.items()}

    def _embedding_cost(self, reader: Reader) -> dict[str, float]:
        """Sum up what embedding the test slides cost."""
        if self.embedder is None:
            return {"embed_s": np.nan, "embed_mib": np.nan}
        parts = [reader.embedded(name, self.embedder) for name in self.split.test]
        return {
            "embed_s": sum(part.seconds for part in parts),
            "embed_mib": max(part.peak_mib for part in parts),
        }


def truth_name(key: Key) -> str:
    """Where the measurement that a result is compared with is kept."""
    return f"{TRUTHS}/{replace(key, method='', encoder='', seed=0).name}"


def prediction_name(key: Key) -> str:
    """Where the prediction of a result is kept."""
    return f"{PREDICTIONS}/{key.name}"


def _truth(train: list[Slide], test: list[Slide], counting: Counting) -> dict[str, np.ndarray]:
    """Collect what a fold is scored on, and what tells its training slides from others."""
    totals = [np.asarray(slide.totals) for slide in test]
    return {
        "slide": np.repeat([slide.name for slide in test], [slide.n_spots for slide in test]),
        "coords": np.concatenate([slide.coords for slide in test]),
        "measured": np.concatenate([np.asarray(slide.expression) for slide in test]),
        "totals": np.concatenate(totals),
        "scored": np.concatenate([are_enough(each, counting.min_counts) for each in totals]),
        "genes": np.array(test[0].genes),
        "training": np.array([_fingerprint(slide) for slide in train]),
    }


def _fingerprint(slide: Slide) -> str:
    """Tell apart slides with other spots or expression."""
    return f"{slide.name} {digest(iter((slide.coords, slide.expression)))}"
