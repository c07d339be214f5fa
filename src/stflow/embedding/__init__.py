"""The engine: an encoder made fast, batches of tiles encoded, vectors kept on disk."""

from stflow.embedding._encode import TileJob, encode_tiles
from stflow.embedding._open_cache import cache_folder, open_cache
from stflow.embedding._prepare import (
    PRECISIONS,
    Precision,
    move,
    prepare,
    replicate,
    tiles_at_a_time,
)
