"""From a task to the slides of a fold: panel, expression, graph, embedding, tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression import (
    Counting,
    Measured,
    auxiliary_genes,
    gene_shares,
    most_variable,
    read_measured,
    require_genes,
    variable_of_expressed,
)
from stflow._splits import Split
from stflow._units import are_enough
from stflow._validation import require_places
from stflow.bench._embeddings import Embedded, Embedder
from stflow.bench._results import TILES, Results, file_name
from stflow.bench._target import read_places, smooth
from stflow.bench._task import Task
from stflow.model import Config
from stflow.slide import Slide, knn_graph


@dataclass(frozen=True, slots=True)
class Panel:
    """How the genes of a fold are chosen.

    Parameters
    ----------
    genes
        These, whatever the protocol. None: those of the task in protocol ``"hest"``, or else those
        that its target asks for, or else the most variable ones of the training slides of the fold.
    n_top_genes
        How many to choose of the last.
    """

    genes: tuple[str, ...] | None
    n_top_genes: int


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """Reads the slides of one task, each table, graph and embedding once.

    Parameters
    ----------
    task, panel, n_neighs
        What to read, for which genes, and the number of neighbours in the graph.
    results
        Where embeddings are kept, and tiles that are slow to read out of order.
    """

    task: Task
    panel: Panel
    n_neighs: int
    results: Results
    _tables: dict[str, AnnData] = field(default_factory=dict)
    _chosen: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict)
    _bare: dict[str, Slide] = field(default_factory=dict)
    _vectors: dict[tuple[str, str], Embedded] = field(default_factory=dict)

    def genes(self, split: Split, protocol: str, counting: Counting) -> tuple[str, ...]:
        """Choose the panel of a fold.

        Raises
        ------
        KeyError
            A slide lacks genes of the panel.
        ValueError
            Too few genes to choose from; or expression is divided by totals, and a slide lacks
            genes that hold more than 5 % of the counts of others.
        """
        key = split.name, protocol, counting
        if key not in self._chosen:
            tables = {name: self.table(name) for name in (*split.train, *split.test)}
            if counting.units != "counts":
                gene_shares(tables, counting, {name: f"slide {name!r}" for name in tables})
            wanted = self.panel.genes or (self.task.genes if protocol == "hest" else None)
            self._chosen[key] = wanted or self._choose(split, counting)
            for name, table in tables.items():
                require_genes(wanted or (), table.var, what=f"the measured genes of {name}")
        return self._chosen[key]

    def auxiliary(
        self, split: Split, genes: tuple[str, ...], counting: Counting
    ) -> tuple[str, ...]:
        """Choose genes beside the panel that methods may learn from, as `stf.tl.fit` does."""
        key = split.name, genes, counting
        if key not in self._chosen:
            tables = {name: self.table(name) for name in split.train}
            others = auxiliary_genes(tables, genes, Config().n_auxiliary, counting=counting)
            self._chosen[key] = tuple(others)
        return self._chosen[key]

    def slides(
        self,
        names: Sequence[str],
        genes: tuple[str, ...],
        encoder: Embedder | None,
        *,
        counting: Counting,
        auxiliary: tuple[str, ...] = (),
        tiles: bool,
    ) -> list[Slide]:
        """Read slides with expression, with the embedding of an encoder, and with tiles if wanted.

        Parameters
        ----------
        names, genes, auxiliary
            Which slides, and which genes of them: the panel, and others to learn from.
        encoder
            What embeds them; None: nothing does.
        counting
            How counts become expression. All spots are read.
        tiles
            Whether to read tiles.

        Raises
        ------
        ValueError
            Counts are not raw counts, or embeddings do not fit.
        """
        found = []
        for name in names:
            measured = read_measured(self.table(name), [*genes, *auxiliary], counting, where=name)
            values = self._labels(name, measured, counting)
            expression = values.astype(np.float32)
            parts: dict[str, Any] = {
                "expression": expression[:, : len(genes)],
                "genes": genes,
                "units": counting.units,
                "totals": measured.totals,
            }
            if auxiliary:
                parts["auxiliary"] = expression[:, len(genes) :]
            if encoder is not None:
                parts["embedding"] = self.embedded(name, encoder).vectors
            if tiles:
                parts["tiles"] = self._tiles(name)
            found.append(replace(self._without(name), **parts))
        return found

    def embedded(self, name: str, encoder: Embedder) -> Embedded:
        """Embed a slide."""
        key = name, encoder.name
        if key not in self._vectors:
            n_spots = self.table(name).n_obs
            self._vectors[key] = encoder(self.task, name, n_spots, self.results)
        return self._vectors[key]

    def table(self, name: str) -> AnnData:
        """Read the counts of a slide."""
        if name not in self._tables:
            self._tables[name] = self.task.sources[name].table()
        return self._tables[name]

    def _tiles(self, name: str) -> Any:
        """Return the tiles of a slide, from the disk where their image is decoded as a whole."""
        tiles = self.task.sources[name].tiles()
        if not getattr(tiles, "in_order", False):
            return tiles
        place = "/".join((TILES, file_name(self.task.name), file_name(name)))
        return self.results.mapped(place, tiles)

    def _labels(self, name: str, measured: Measured, counting: Counting) -> np.ndarray:
        """Return what methods learn of a slide and are scored on, shape (N, G)."""
        if self.task.target is None or not self.task.target.smoothed:
            return measured.expression
        places = read_places(self.table(name).obs, where=f"slide {name!r}")
        enough = are_enough(measured.totals, counting.min_counts)
        return smooth(measured.expression, places, enough)

    def _choose(self, split: Split, counting: Counting) -> tuple[str, ...]:
        """Choose genes on the training slides, among those that all slides of the fold measure."""
        tables = {name: self.table(name) for name in split.train}
        how: dict[str, Any] = {"counting": counting, "among": self._shared(split)}
        target = self.task.target
        if target is None:
            how["in_every_slide"] = False
            return tuple(most_variable(tables, self.panel.n_top_genes, **how))
        return tuple(variable_of_expressed(tables, target.n_genes, target.n_expressed, **how))

    def _shared(self, split: Split) -> list[str]:
        """Name the genes that all slides of the fold measure."""
        first, *others = (*split.train, *split.test)
        kept = self.table(first).var_names
        for other in others:
            kept = kept[kept.isin(self.table(other).var_names)]
        return list(kept)

    def _without(self, name: str) -> Slide:
        if name not in self._bare:
            table = self.table(name)
            coords = np.asarray(table.obsm[_keys.SPATIAL], dtype=np.float64)
            require_places(coords, what=f"spots of {name}")
            self._bare[name] = Slide(
                name=name,
                coords=coords,
                graph=knn_graph(coords, self.n_neighs)[0],
                embedding=np.empty((table.n_obs, 0), dtype=np.float32),
                rows=np.arange(table.n_obs),
                patient=self.task.groups.get(name),
            )
        return self._bare[name]
