"""What there is to do in a benchmark, and how one fit is done."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch

from stflow._device import resolve_device
from stflow._digest import digest
from stflow._sdata import by_text
from stflow._splits import Split
from stflow._validation import require_choice, require_seed, require_unique
from stflow.baselines import Baseline, describe_method
from stflow.bench._embeddings import Embedder
from stflow.bench._folds import Reader
from stflow.bench._measure import Measure, let_go
from stflow.bench._results import PREDICTIONS, TRUTHS, Key, OtherDataError, Results
from stflow.bench._task import Task
from stflow.bench.methods import METHODS, PROTOCOLS, ProtocolName
from stflow.encoders.families import identify
from stflow.metrics import pearson
from stflow.slide import Slide


def _by_name(
    methods: Sequence[str] | Mapping[str, str | Baseline],
) -> dict[str, str | Baseline]:
    """Return methods by name, each a name of ``METHODS`` or an object."""
    if not isinstance(methods, Mapping):
        require_unique(methods, what="methods")
        methods = {name: name for name in methods}
    named = by_text(methods, what="methods")
    for name, method in named.items():
        if isinstance(method, str):
            require_choice(method, METHODS, name="methods")
        elif not isinstance(method, Baseline):
            raise TypeError(f"Method {name!r} is a {type(method).__name__}, not a Baseline.")
    return named


def reads_tiles(method: Baseline) -> bool:
    """Whether a method learns from tiles rather than from an embedding of them."""
    return getattr(method, "reads", "embedding") == "tiles"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is run on every fold.

    Parameters
    ----------
    methods, protocols, seeds
        All combinations of them; methods by name, each one of ``METHODS`` or an object.
    options
        Arguments of methods: ``max_epochs`` and ``device`` of all, and ``trunk`` of those that
        take one, unless it is None.
    weights
        Files with the weights of trunks, by name.
    """

    methods: Mapping[str, str | Baseline]
    protocols: tuple[ProtocolName, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    weights: Mapping[str, str]

    @classmethod
    def make(
        cls,
        methods: Sequence[str] | Mapping[str, str | Baseline],
        protocols: Sequence[ProtocolName],
        seeds: Sequence[int],
        options: Mapping[str, Any],
        weights: Mapping[str, str],
    ) -> Plan:
        """Check names and numbers.

        Raises
        ------
        TypeError
            A method is neither a name nor a baseline.
        ValueError
            Nothing, something twice, or something unknown is asked for.
        """
        named = _by_name(methods)
        require_unique(protocols, what="protocols")
        for protocol in protocols:
            require_choice(protocol, PROTOCOLS, name="protocols")
        for seed in seeds:
            require_seed(seed)
        if not (methods and protocols and seeds):
            raise ValueError("Nothing to run: name methods, protocols and seeds.")
        return cls(named, tuple(protocols), tuple(map(int, seeds)), options, weights)

    def jobs(
        self, task: Task, embedders: Sequence[Embedder], folds: Collection[str]
    ) -> Iterator[Job]:
        """List what is to be done on some folds of a task, one after the other."""
        splits = [split for split in task.splits if split.name in folds]
        for split, protocol, name in product(splits, self.protocols, self.methods):
            method = self.build(name, protocol)
            for embedder in (None,) if reads_tiles(method) else embedders:
                encoder = embedder.name if embedder else getattr(method, "trunk", "")
                for seed in self.seeds:
                    key = Key(task.name, split.name, protocol, name, encoder, seed)
                    yield Job(key, split, method, embedder)

    def build(self, name: str, protocol: ProtocolName) -> Baseline:
        """Return an unfitted method; an object of the user's is one already."""
        method = self.methods[name]
        if isinstance(method, Baseline):
            return method
        options: dict[str, Any] = {"device": self.options["device"]}
        if METHODS[method].trains:
            options["max_epochs"] = self.options["max_epochs"]
        trunk = self.trunk(method)
        if trunk is not None:
            options |= {"trunk": trunk, "weights": self.weights.get(trunk)}
        return METHODS[method](protocol=protocol, **options)

    def trunks(self) -> set[str]:
        """Name the networks inside the methods."""
        names = [each for each in self.methods.values() if isinstance(each, str)]
        return {trunk for trunk in map(self.trunk, names) if trunk is not None}

    def describe(self) -> dict[str, str]:
        """Say what the methods are that the user made, by their names."""
        own = {name: each for name, each in self.methods.items() if isinstance(each, Baseline)}
        return {name: describe_method(name, each, word="path") for name, each in own.items()}

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
    method: Baseline
    embedder: Embedder | None

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
        genes = reader.genes(self.split, self.key.protocol)
        how: dict[str, Any] = {"tiles": reads_tiles(self.method)}
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
        device = self._device()
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
