"""Public verb: what was predicted, as objects with measurements for QuPath."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO

from spatialdata import SpatialData
from tqdm.auto import tqdm

from stflow import _keys
from stflow._atomic import writing
from stflow._sdata import require_sdata
from stflow._sdata.expression import read_numbers
from stflow._sdata.places import find_annotated, read_classes, read_objects
from stflow._validation import listing, warn
from stflow.io._features import Features
from stflow.io._qupath import CLASS, DECIMALS, NUCLEI, SUFFIXES

AT_ONCE = 1000
LARGE = 2**30
ZIPPED = (1980, 1, 1, 0, 0, 0)  # of a file in an archive, so that the same content is the same file


def write_qupath(
    sdata: SpatialData,
    path: str | PathLike[str],
    key: str = _keys.PREDICTION,
    *,
    genes: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    classification: str | None = None,
    table_key: str = _keys.TABLE,
    shapes_key: str | None = None,
    image_key: str | None = None,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    mpp: float | None = None,
    overwrite: bool = False,
    show_progress_bar: bool = True,
) -> Path:
    """Write spots or cells with their predictions as GeoJSON, for QuPath 0.4 and later.

    Drag the file onto the open slide, or import it in a script with
    ``importObjectsFromFile(path)``; ``Measure > Show measurement maps`` then colours spots by a
    measurement. Scores and fractions of cell types of that prediction, novelty and total counts go
    with it. Cells keep their outlines and nuclei. Shapes that the table does not annotate, such
    as tissue, are written as annotations without measurements.

    Parameters
    ----------
    sdata
        A slide that :func:`stflow.tl.predict` has written to.
    path
        The file: ``.geojson``, ``.json``, or ``.zip`` for the same in an archive, which QuPath
        opens as well.
    key
        Name of the prediction, or of scores to write these alone.
    genes
        Genes to write. None: the whole panel. Scores of gene sets and fractions of cell types are
        written whole.
    columns
        Columns of ``.obs`` with numbers that become measurements, too.
    classification
        Column of ``.obs`` or of the shapes that becomes QuPath's class, such as a cluster. None:
        the column ``"classification"`` of the shapes, where there is one.
    table_key
        Name of the table in ``sdata.tables``.
    shapes_key
        The spots or cells, or other shapes. None: the only element that the table annotates.
    image_key
        Name of the image that QuPath shows. None: the only one.
    coordinate_system
        Where shapes and image are related, if they share several. Of those that are not in
        ``"global"``, the default takes the first.
    mpp
        Micrometres per pixel of the slide in QuPath at its full resolution, where the image here
        is a copy at another scale, such as a preview. None: the image is that slide.
    overwrite
        Whether to replace a file.
    show_progress_bar
        Whether to show how far it is.

    Returns
    -------
    ``path``. It holds a feature for each spot or other shape, in the order of the table:

    ``id``
        The name in the shapes where that is a UUID, else one made of it.
    ``geometry``, ``nucleusGeometry``
        Polygons in full-resolution pixels, to a hundredth, circles as such of 32 corners; of cells
        their nuclei, which are looked for in ``shapes["nuclei"]``.
    ``properties.objectType``
        ``"detection"``, ``"cell"`` for outlines with nuclei, ``"annotation"`` without rows in the
        table; for shapes that :func:`read_qupath` named, what they were.
    ``properties.name``, ``properties.classification``
        The column ``"name"`` of the shapes, or what the shape is called; its class.
    ``properties.measurements``
        ``"stflow ERBB2"`` and ``"stflow ERBB2 sd"``, with the name of the prediction; the same of
        its scores, ``"stflow_scores HER2"``; novelty and which spots were observed, where they are
        recorded, by the name of their column; ``"total_counts"`` of spots that were measured.
        Numbers have six digits. What is not finite is left out, as JSON has no such numbers.

    Raises
    ------
    FileExistsError, FileNotFoundError, IsADirectoryError
        There is a file or a folder of that name, or no folder that it would be in.
    KeyError
        There is no such table, prediction, gene, column, shapes, image or coordinate system, or
        there are several shapes or images and no name.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        The ending is not one that QuPath opens, the prediction is not finite, two measurements
        share a name, shapes are neither polygons nor circles or lie outside the image, they share
        no coordinate system with it, or nothing tells the scale that ``mpp`` is compared with.

    Warns
    -----
    UserWarning
        The file takes more than 1 GiB; outlines cross themselves and are mended; some have no area
        and are left out.

    See Also
    --------
    stflow.io.read_qupath : The way back: what is drawn in QuPath, as shapes.

    Examples
    --------
    >>> stf.tl.predict(sdata, model)  # doctest: +SKIP
    >>> stf.io.write_qupath(sdata, "spots.geojson", genes=["ERBB2", "FASN"])  # doctest: +SKIP
    >>> stf.io.write_qupath(sdata, "tissue.geojson", shapes_key="tissue")  # doctest: +SKIP
    """
    path = _require_writable(Path(path), overwrite=overwrite)
    require_sdata(sdata)
    found = find_annotated(sdata, table_key, shapes_key)
    table, region, numbers = None, None, None
    if found is not None:
        table, region = found
        numbers = read_numbers(table, key, genes, columns, where=f"table {table_key!r}")
    elif genes is not None or len(columns):
        raise ValueError(
            f"Table {table_key!r} says nothing of shapes {shapes_key!r}, so there is nothing to "
            "measure. Leave out `genes=` and `columns=`, or name the spots with `shapes_key=`."
        )
    objects = read_objects(
        sdata,
        str(shapes_key) if region is None else region.name,
        region,
        image_key=image_key,
        coordinate_system=coordinate_system,
        mpp=mpp,
        nuclei_key=NUCLEI,
        decimals=DECIMALS,
    )
    classes = read_classes(objects, table, classification, usual=CLASS)
    _write(path, Features(objects, classes, numbers), show_progress_bar=show_progress_bar)
    return path


def _require_writable(path: Path, *, overwrite: bool) -> Path:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} must end in one of {listing(SUFFIXES)}, which QuPath opens.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; pass the file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Pass `overwrite=True` to replace it.")
    return path


def _write(path: Path, features: Features, *, show_progress_bar: bool) -> None:
    """Write features a few at a time, and say when there will be much to read."""
    n = len(features)
    bar = tqdm(total=n, desc=path.name, unit="object", disable=not show_progress_bar)
    with bar, writing(path) as file, _text_of(file, path) as text:
        text.write(b'{"type":"FeatureCollection","features":[\n')
        for first in range(0, n, AT_ONCE):
            some = features.texts(first, first + AT_ONCE)
            content = ",\n".join(some).encode("ascii")
            if first == 0:
                _warn_of_size(path, len(content) / len(some) * n)
            text.write(b",\n" * (first > 0) + content)
            bar.update(len(some))
        text.write(b"\n]}\n")


@contextmanager
def _text_of(file: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Write to a file, or to the only one of an archive."""
    if path.suffix.lower() != ".zip":
        yield file
        return
    entry = zipfile.ZipInfo(f"{path.stem}.geojson", ZIPPED)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w") as archive, archive.open(entry, "w", force_zip64=True) as text:
        yield text


def _warn_of_size(path: Path, n_bytes: float) -> None:
    if n_bytes > LARGE:
        warn(
            f"{path} will hold {n_bytes / 2**30:.1f} GiB of text, and QuPath reads it as a whole, "
            "into several times the memory. Name fewer genes with `genes=`, or write scores alone "
            "with `key=`."
        )
