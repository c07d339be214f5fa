"""What there is to do in a benchmark, and how one fit is done."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from stflow._device import resolve_device
from stflow._digest import digest
from stflow._splits import Split
from stflow._validation import require_choice, require_seed, require_unique
from stflow.bench._embeddings import Embedder
from stflow.bench._folds import Reader
from stflow.bench._measure import Measure, let_go
from stflow.bench._results import PREDICTIONS, TRUTHS, Key, OtherDataError, Results
from stflow.bench._task import Task
from stflow.bench.methods import METHODS, PROTOCOLS, Published
from stflow.encoders.families import identify
from stflow.metrics import pearson
from stflow.slide import Slide


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is run on every fold.

    Parameters
    ----------
    methods, protocols, seeds
        All combinations of them.
    options
        Arguments of methods: ``max_epochs`` and ``device`` of all, and ``trunk`` of those that
        take one, unless it is None.
    weights
        Files with the weights of trunks, by name.
    """

    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    weights: Mapping[str, str]

    @classmethod
    def make(
        cls,
        methods: Sequence[str],
        protocols: Sequence[str],
        seeds: Sequence[int],
        options: Mapping[str, Any],
        weights: Mapping[str, str],
    ) -> Plan:
        """Check names and numbers.

        Raises
        ------
        ValueError
            Nothing, something twice, or something unknown is asked for.
        """
        asked: dict[str, Sequence[str]] = {"methods": methods, "protocols": protocols}
        for what, known in (("methods", METHODS), ("protocols", PROTOCOLS)):
            require_unique(asked[what], what=what)
            for name in asked[what]:
                require_choice(name, known, name=what)
        for seed in seeds:
            require_seed(seed)
        if not (methods and protocols and seeds):
            raise ValueError("Nothing to run: name methods, protocols and seeds.")
        return cls(tuple(methods), tuple(protocols), tuple(map(int, seeds)), options, weights)

    def jobs(
        self, task: Task, embedders: Sequence[Embedder], folds: Collection[str]
    ) -> Iterator[Job]:
        """List what is to be done on some folds of a task, one after the other."""
        splits = [split for split in task.splits if split.name in folds]
        for split, protocol, name in product(splits, self.protocols, self.methods):
            method = self.build(name, protocol)
            for embedder in embedders if method.reads == "embedding" else (None,):
                encoder = embedder.name if embedder else getattr(method, "trunk", "")
                for seed in self.seeds:
                    key = Key(task.name, split.name, protocol, name, encoder, seed)
                    yield Job(key, split, method, embedder)

    def build(self, name: str, protocol: str) -> Published:
        """Make an unfitted method."""
        options: dict[str, Any] = {"device": self.options["device"]}
        if METHODS[name].trains:
            options["max_epochs"] = self.options["max_epochs"]
        trunk = self.trunk(name)
        if trunk is not None:
            options |= {"trunk": trunk, "weights": self.weights.get(trunk)}
        return METHODS[name](protocol=protocol, **options)

    def trunks(self) -> set[str]:
        """Name the networks inside the methods."""
        return {trunk for trunk in map(self.trunk, self.methods) if trunk is not None}

    def trunk(self, name: str) -> str | None:
        """Name the network inside a method, if it has one."""
        taken = inspect.signature(METHODS[name]).parameters
        return (self.options["trunk"] or taken["trunk"].default) if "trunk" in taken else None


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
    method: Published
    embedder: Embedder | None

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on beside its key."""
        weights = getattr(self.method, "weights", None)
        return {
            "max_epochs": self.method.max_epochs,
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
            "device": str(resolve_device(self.method.device)),
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

    def _attempt(self, reader: Reader) -> dict[str, Any]:
        """Read, fit and predict; keep the prediction, and return scores and costs."""
        genes = reader.genes(self.split, self.key.protocol)
        how: dict[str, Any] = {"tiles": self.method.reads == "tiles"}
        train = reader.slides(self.split.train, genes, self.embedder, **how)
        test = reader.slides(self.split.test, genes, self.embedder, **how)
        given = {truth_name(self.key): _truth(train, test), **self._brought(reader)}
        new = {place: a for place, a in given.items() if not reader.results.has_given(place, **a)}
        scores, predicted = self._run(train, test)
        for place, arrays in new.items():
            reader.results.write_arrays(place, **arrays)
        reader.results.write_arrays(prediction_name(self.key), predicted=predicted)
        return {
            "n_train": sum(slide.n_spots for slide in train),
            "n_test": sum(slide.n_spots for slide in test),
            **self._embedding_cost(reader),
            **scores,
        }

    def _run(self, train: list[Slide], test: list[Slide]) -> tuple[dict[str, Any], np.ndarray]:
        """Fit and predict; return scores and costs, and the prediction of all test spots."""
        device = resolve_device(self.method.device)
        more = {"peek": test} if getattr(self.method, "peeks", False) else {}
        let_go()
        with Measure(device) as fitting:
            fitted = copy.copy(self.method).fit(train, seed=self.key.seed, **more)
        unknown = [replace(slide, expression=None, genes=()) for slide in test]
        with Measure(device) as predicting:
            predicted = np.concatenate([fitted.predict(slide) for slide in unknown])
        if not np.isfinite(predicted).all():
            raise ValueError("The prediction holds NaN or infinite values.")
        measured = np.concatenate([np.asarray(slide.expression) for slide in test])
        costs = {
            "fit_s": fitting.seconds,
            "predict_s": predicting.seconds,
            "fit_mib": fitting.peak_mib,
            "predict_mib": predicting.peak_mib,
            "choice": " ".join(f"{value:g}" for value in fitted.choice),
        }
        return {**score(measured, predicted), **costs}, predicted

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


def score(measured: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Mean Pearson correlation over genes, of pooled spots (N, G).

    A gene predicted to be constant counts as 0; one measured to be constant is left out.
    """
    defined = np.ptp(measured, 0) > 0
    each = np.nan_to_num(pearson(measured[:, defined], predicted[:, defined]), nan=0.0)
    return {
        "pearson": float(each.mean()) if each.size else np.nan,
        "n_genes": measured.shape[1],
        "n_undefined": int((~defined).sum()),
    }


def truth_name(key: Key) -> str:
    """Where the measurement that a result is compared with is kept."""
    return f"{TRUTHS}/{replace(key, method='', encoder='', seed=0).name}"


def prediction_name(key: Key) -> str:
    """Where the prediction of a result is kept."""
    return f"{PREDICTIONS}/{key.name}"


def _truth(train: list[Slide], test: list[Slide]) -> dict[str, np.ndarray]:
    """Collect what a fold is scored on, and what tells its training slides from others."""
    return {
        "slide": np.repeat([slide.name for slide in test], [slide.n_spots for slide in test]),
        "coords": np.concatenate([slide.coords for slide in test]),
        "measured": np.concatenate([np.asarray(slide.expression) for slide in test]),
        "genes": np.array(test[0].genes),
        "training": np.array([_fingerprint(slide) for slide in train]),
    }


def _fingerprint(slide: Slide) -> str:
    """Tell apart slides with other spots or expression."""
    return f"{slide.name} {digest(iter((slide.coords, slide.expression)))}"
