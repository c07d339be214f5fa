"""The engine: an encoder made fast, batches of tiles encoded, vectors kept on disk."""

from stflow.embedding._area import encode_area
from stflow.embedding._cache import VectorCache
from stflow.embedding._encode import TileJob, encode_tiles
from stflow.embedding._open_cache import cache_folder, open_cache
from stflow.embedding._outlines import Outlines
from stflow.embedding._prepare import (
    PRECISIONS,
    Precision,
    move,
    piece_px,
    prepare,
    replicate,
    tiles_at_a_time,
)
from stflow.embedding._walk import AreaJob
