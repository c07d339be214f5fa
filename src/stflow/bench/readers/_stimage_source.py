"""One slide of STImage-1K4M: an image, coordinates and counts, joined by the names of spots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow import _keys
from stflow._validation import listing, require_counts, require_unique
from stflow.bench.readers._cut import cut
from stflow.images import Level, outside
from stflow.images.files import open_by_content

TILE_PX = 224
_ROWS = 512
_COLUMNS = ("xaxis", "yaxis", "r")


@dataclass(frozen=True, slots=True, eq=False)
class ImageTiles:
    """Tiles that are cut from an image file when they are indexed. It can be pickled.

    The file is decoded as a whole and kept until another is.

    Parameters
    ----------
    path
        The image, a PNG, JPEG or TIFF whatever it is called.
    centres
        Centres of the tiles in pixels, x then y, shape (N, 2).
    size
        Side of a tile in pixels of the image.
    tile_px
        Side of a tile in pixels of the result.
    """

    in_order: ClassVar[bool] = True

    path: Path
    centres: np.ndarray
    size: float
    tile_px: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape, N first."""
        return len(self.centres), self.tile_px, self.tile_px, 3

    def __len__(self) -> int:
        return len(self.centres)

    def __getitem__(self, at: int | slice | np.ndarray) -> np.ndarray:
        """Cut one tile, a slice of them, or those of an array of numbers or a mask."""
        centres = self.centres[at]
        tiles = cut(self.levels(), centres.reshape(-1, 2), size=self.size, tile_px=self.tile_px)
        return tiles.reshape(*centres.shape[:-1], *self.shape[1:])

    def levels(self) -> list[Level]:
        """Return the pyramid of the image, unread."""
        levels = open_by_content(self.path).levels
        _, height, width = levels[0].shape
        return [Level(p, (width / p.shape[2], height / p.shape[1])) for p in levels]


@dataclass(frozen=True, slots=True, eq=False)
class StimageSource:
    """A slide whose spots have been read, but not its counts and pixels.

    Parameters
    ----------
    counts_path
        The table of counts.
    spots
        Names of the spots, shape (N,).
    pixels
        The tile of each spot.
    """

    counts_path: Path
    spots: np.ndarray
    pixels: ImageTiles

    @staticmethod
    def paths(folder: Path, slide: str) -> tuple[Path, Path, Path]:
        """Where image, coordinates and counts of a slide are."""
        return (
            folder / "image" / f"{slide}.png",
            folder / "coord" / f"{slide}_coord.csv",
            folder / "gene_exp" / f"{slide}_count.csv",
        )

    @classmethod
    def open(cls, folder: Path, slide: str) -> StimageSource:
        """Read the spots of a slide and check that they lie on its image.

        Parameters
        ----------
        folder
            The folder of its technology.
        slide
            Its name.

        Raises
        ------
        ValueError
            A file is damaged, spots come twice, lie outside the image or differ in radius.
        """
        image, coord, counts = cls.paths(folder, slide)
        places = _read_places(coord)
        radius = float(places["r"].iloc[0])
        centres = places[["xaxis", "yaxis"]].to_numpy()
        tiles = ImageTiles(image, centres, 2 * radius, TILE_PX)
        lost = outside(tiles.levels(), centres, size=tiles.size)
        if lost.any():
            raise ValueError(f"{lost.sum()} of {len(lost)} spots of {coord} lie outside {image}.")
        return cls(counts, places.index.to_numpy(), tiles)

    def table(self) -> AnnData:
        """Return raw counts of all genes; a gene that the file names twice gets a suffix.

        Raises
        ------
        ValueError
            The file is damaged, does not hold raw counts, or lacks spots.
        """
        counts = _read_counts(self.counts_path)
        at = counts.obs_names.get_indexer(pd.Index(self.spots))
        if (at < 0).any():
            raise ValueError(
                f"{(at < 0).sum()} of {len(at)} spots are not in {self.counts_path}: "
                f"{listing(self.spots[at < 0], limit=3)}; it has "
                f"{listing(counts.obs_names, limit=3)}."
            )
        table = counts[at].copy()
        table.obsm[_keys.SPATIAL] = self.pixels.centres.copy()
        return table

    def tiles(self) -> ImageTiles:
        """Return the tiles, which are cut when they are indexed."""
        return self.pixels


def _read_places(path: Path) -> pd.DataFrame:
    """Read the centre and radius of each spot, in pixels, by the names of the spots."""
    try:
        places = pd.read_csv(path, index_col=0)
    except ValueError as error:
        raise ValueError(f"Coordinates {path} cannot be read: {error}.") from error
    missing = [column for column in _COLUMNS if column not in places]
    if missing:
        raise ValueError(
            f"Coordinates {path} lack the column {listing(missing)}; they have {listing(places)}."
        )
    places = (
        places.rename(str)[list(_COLUMNS)].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    )
    radii = places["r"].to_numpy()
    if not len(places) or not np.isfinite(places.to_numpy()).all() or (radii <= 0).any():
        raise ValueError(f"Coordinates {path} hold no spots, or some without place or radius.")
    if not np.allclose(radii, radii[0]):
        raise ValueError(f"Coordinates {path} hold spots of several radii: {listing(set(radii))}.")
    require_unique(list(places.index), what=f"spots in {path}")
    return places


def _read_counts(path: Path) -> AnnData:
    """Read a dense table of text block by block into a sparse one."""
    blocks: list[sp.csr_matrix] = []
    spots: list[str] = []
    genes: list[str] = []
    try:
        with pd.read_csv(path, index_col=0, chunksize=_ROWS) as reader:
            for frame in reader:
                genes = list(frame.columns)
                spots += [str(spot) for spot in frame.index]
                blocks.append(sp.csr_matrix(frame.to_numpy(dtype=np.float64)))
    except (ValueError, OSError) as error:
        raise ValueError(f"Counts {path} cannot be read: {error}.") from error
    require_unique(spots, what=f"spots in {path}")
    counts = sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, len(genes)))
    require_counts(counts, what=f"Counts {path}")
    return AnnData(
        counts.astype(np.int32), obs=pd.DataFrame(index=spots), var=pd.DataFrame(index=genes)
    )
