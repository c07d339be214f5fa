"""Image files of scanners and microscopes as lazy pyramids with their scale."""

from stflow.images.files._file import ImageFile, mean_scale
from stflow.images.files._lazy import CHUNK, complete
from stflow.images.files._open import SUFFIXES, open_by_content, open_image
from stflow.images.files._raster import read_raster
