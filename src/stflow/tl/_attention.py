"""Public verb: which spots a fitted model listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, get_table, read_recipe, read_slides, require_same_recipe
from stflow._sdata.written import join_graphs, require_new_graph, write_graph
from stflow.tl._predict import require_model

if TYPE_CHECKING:
    from stflow.model import STFlow


def attention(
    data: SpatialData | AnnData,
    model: STFlow,
    *,
    n_steps: int = 5,
    chunk_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    key_added: str = _keys.ATTENTION,
    overwrite: bool = False,
    show_progress_bar: bool = True,
    inplace: bool = True,
) -> AnnData | None:
    """Write how much each spot listens to each of its neighbours, as a graph.

    The attention of the flow's network in its last evaluation for one draw, the first that
    :func:`stflow.tl.predict` takes with the same seed, averaged over layers and heads. Measured
    counts are not read.

    Parameters
    ----------
    data
        A slide with embedding and graph; the regions of its table are taken one by one.
    model
        What :func:`stflow.tl.fit` returned.
    n_steps
        Evaluations S of the denoiser for the draw; the last is at time (S - 1) / S.
    chunk_size
        Spots computed at a time; the result does not depend on it. None: 2,048 on the CPU,
        65,536 on a GPU.
    device
        Where to compute: ``"auto"`` (CUDA, else CPU) or a torch device.
    seed
        Seed of the draw.
    table_key
        Name of the table.
    embedding_key
        Key of the embedding in ``.obsm``.
    coordinate_system
        The coordinate system in which to read where spots lie. Of a slide that is not in
        ``"global"``, the default takes the first.
    key_added
        Name of the graph.
    overwrite
        Whether to replace a graph of that name.
    show_progress_bar
        Whether to show progress, in layers of the network.
    inplace
        Whether to write to the table or return a copy of it with the graph.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsp[key_added]``
        Sparse matrix of spots x spots, float32, with an entry wherever the graph has one, but for
        spots that neighbour themselves. Entry (i, j) is the share of spot i's attention that goes
        to spot j: entries are at least 0, a row sums to 1, and the row of a spot without
        neighbours is empty. It is not symmetric.
    ``.uns[key_added]``
        The names of the matrix and of the distances, and the parameters; so scanpy takes
        ``key_added`` for its ``neighbors_key``, as squidpy does for its ``connectivity_key``.

    Raises
    ------
    KeyError
        The table, embedding, graph or some spots are missing.
    TypeError
        ``model`` is no fitted model, such as the path of a saved one, or the recipe of the
        embedding is no dict.
    ValueError
        The embedding or a coordinate is not finite, two spots share a place, the graph has no
        edges, the embedding is not made as the model's, ``key_added`` is taken or read here, or an
        argument is out of its range.

    Examples
    --------
    >>> stf.tl.attention(test, model)  # doctest: +SKIP
    >>> sq.gr.spatial_autocorr(  # doctest: +SKIP
    ...     test["table"], connectivity_key="stflow_attention"
    ... )
    """
    table = get_table(data, table_key)
    require_model(model)
    where = f"Table {table_key!r}"
    require_new_graph(
        table,
        key_added,
        overwrite=overwrite,
        where=where,
        word="key_added",
        read=(_keys.CONNECTIVITIES, _keys.DISTANCES),
    )
    slides = read_slides(
        data,
        name="the slide",
        table_key=table_key,
        embedding_key=embedding_key,
        coordinate_system=coordinate_system,
    )
    recipe = read_recipe(data, table_key, embedding_key)
    require_same_recipe(recipe, model.encoder, what="this slide", other="the model")
    found = [
        model.attention(
            slide,
            n_steps=n_steps,
            chunk_size=chunk_size,
            device=device,
            seed=seed,
            show_progress_bar=show_progress_bar,
        )
        for slide in slides
    ]
    parts = [(slide.rows, graph) for slide, graph in zip(slides, found, strict=True)]
    graph = join_graphs(parts, table.n_obs)
    params = {
        "method": "stflow",
        "n_neighbors": int(graph.getnnz(1).max()),
        "model": repr(model),
        "n_steps": n_steps,
        "seed": seed,
    }
    target = table if inplace else copied(table)
    write_graph(target, key_added, {key_added: graph}, params=params)
    return None if inplace else target
