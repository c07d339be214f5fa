"""The arrays that models and baselines take, read from SpatialData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import as_mapping, read_slides, require_apart
from stflow._sdata.expression import Counting, require_gene_list
from stflow._units import Units
from stflow.slide import Slide


def slides(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    genes: Sequence[str] | None = None,
    *,
    units: Units = "cp10k",
    layer: str | None = None,
    total_key: str | None = None,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
) -> list[Slide]:
    """Return slides as arrays, for ``stf.baselines`` and :meth:`stflow.STFlow.predict`.

    Parameters
    ----------
    data
        One slide, or several by name, each with embedding and graph; a table with several regions
        is several slides, called ``name/region``.
    genes
        Genes whose expression to read. None: no expression.
    units
        ``"cp10k"``, log1p of counts per 10,000 of a spot's total, or ``"counts"``, log1p of
        counts.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot; None: the sum over all genes.
    table_key
        Name of the table in each slide.
    embedding_key
        Key of the embedding in ``.obsm``.
    coordinate_system
        The coordinate system in which to read where spots lie. Of a slide that is not in
        ``"global"``, the default takes the first.

    Returns
    -------
    The slides, in order, all spots of each.

    Raises
    ------
    KeyError
        A table, embedding, graph, layer, column or gene is missing.
    TypeError
        Several slides come without names.
    ValueError
        Unknown units, the embedding or a coordinate is not finite, two spots share a place, the
        graph has no edges, the counts are not raw counts, or two slides have one name.

    Examples
    --------
    >>> train = stf.get.slides({"C2": c2, "C3": c3}, genes)  # doctest: +SKIP
    >>> stf.baselines.Ridge().fit(train)  # doctest: +SKIP
    """
    counting = Counting(units, layer, total_key)
    panel = None if genes is None else require_gene_list(genes)
    found = [
        slide
        for name, each in as_mapping(data).items()
        for slide in read_slides(
            each,
            name=name,
            genes=panel,
            counting=counting,
            table_key=table_key,
            embedding_key=embedding_key,
            coordinate_system=coordinate_system,
        )
    ]
    require_apart([slide.name for slide in found])
    return found
