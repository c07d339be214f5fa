"""What there is to do in a benchmark: methods, protocols, units and seeds, on every fold."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from stflow._sdata import by_text
from stflow._units import UNITS, Units
from stflow._validation import listing, require_choice, require_seed, require_unique
from stflow.baselines import Baseline, describe_method
from stflow.bench._embeddings import Embedder
from stflow.bench._jobs import Job, reads_tiles
from stflow.bench._results import Key
from stflow.bench._task import Task
from stflow.bench.methods import METHODS, PROTOCOLS, ProtocolName

UNITS_OF: dict[ProtocolName, tuple[Units, ...]] = {"hest": ("counts",), "nested": UNITS}


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


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is run on every fold.

    Parameters
    ----------
    methods, protocols, seeds
        All combinations of them; methods by name, each one of ``METHODS`` or an object.
    units
        What expression may be told in, of the units of a protocol.
    options
        Arguments of methods: ``max_epochs`` and ``device`` of all, and ``trunk`` of those that
        take one, unless it is None.
    weights
        Files with the weights of trunks, by name.
    """

    methods: Mapping[str, str | Baseline]
    protocols: tuple[ProtocolName, ...]
    units: tuple[Units, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    weights: Mapping[str, str]

    @classmethod
    def make(
        cls,
        methods: Sequence[str] | Mapping[str, str | Baseline],
        protocols: Sequence[ProtocolName],
        units: Sequence[Units] | None,
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
        named, units = _by_name(methods), UNITS if units is None else units
        require_unique(protocols, what="protocols")
        require_unique(units, what="units")
        for protocol in protocols:
            require_choice(protocol, PROTOCOLS, name="protocols")
        for each in units:
            require_choice(each, UNITS, name="units")
        for seed in seeds:
            require_seed(seed)
        if not (methods and protocols and seeds):
            raise ValueError("Nothing to run: name methods, protocols and seeds.")
        if not any({*units} & {*UNITS_OF[protocol]} for protocol in protocols):
            told = "; ".join(f"{name!r} in {listing(UNITS_OF[name])}" for name in protocols)
            raise ValueError(f"Nothing to run in these `units`. Protocols score: {told}.")
        seeds = tuple(map(int, seeds))
        return cls(named, tuple(protocols), tuple(units), seeds, options, weights)

    def jobs(
        self, task: Task, embedders: Sequence[Embedder], folds: Collection[str]
    ) -> Iterator[Job]:
        """List what is to be done on some folds of a task, one after the other."""
        splits = [split for split in task.splits if split.name in folds]
        scored = [
            (protocol, each)
            for protocol in self.protocols
            for each in (UNITS_OF[protocol] if task.target is None else (task.target.units,))
            if each in self.units
        ]
        for split, (protocol, units), name in product(splits, scored, self.methods):
            method = self.build(name, protocol)
            for embedder in (None,) if reads_tiles(method) else embedders:
                encoder = embedder.name if embedder else getattr(method, "trunk", "")
                for seed in self.seeds:
                    key = Key(task.name, split.name, protocol, name, encoder, seed, units)
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
