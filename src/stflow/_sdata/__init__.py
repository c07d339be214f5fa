"""THE boundary: the only place that reads and writes SpatialData."""

from stflow._sdata._blank import warn_of_blank_slides, warn_of_blank_tiles
from stflow._sdata._build import (
    annotate,
    build_slide,
    circles,
    image_element,
    picture,
    table_of_spots,
)
from stflow._sdata._described import describe, describe_recipe
from stflow._sdata._elements import put, require_new, same_name
from stflow._sdata._features import match_features, read_features
from stflow._sdata._images import get_pyramid, resolve_image
from stflow._sdata._names import by_text, groups_of, is_missing, require_apart, text_name
from stflow._sdata._recipe import (
    read_recipe,
    require_same_recipe,
    require_same_width,
    shared_recipe,
)
from stflow._sdata._slides import as_mapping, read_slides
from stflow._sdata._store import Store, require_new_store, store_path, write_store
from stflow._sdata._systems import image_places
from stflow._sdata._tables import (
    Region,
    get_regions,
    get_table,
    put_table,
    require_sdata,
)

__all__ = [
    "Region",
    "Store",
    "annotate",
    "as_mapping",
    "build_slide",
    "by_text",
    "circles",
    "describe",
    "describe_recipe",
    "get_pyramid",
    "get_regions",
    "get_table",
    "groups_of",
    "image_element",
    "image_places",
    "is_missing",
    "match_features",
    "picture",
    "put",
    "put_table",
    "read_features",
    "read_recipe",
    "read_slides",
    "require_apart",
    "require_new",
    "require_new_store",
    "require_same_recipe",
    "require_same_width",
    "require_sdata",
    "resolve_image",
    "same_name",
    "shared_recipe",
    "store_path",
    "table_of_spots",
    "text_name",
    "warn_of_blank_slides",
    "warn_of_blank_tiles",
    "write_store",
]
