"""The engine: an encoder made fast, batches of tiles encoded, vectors kept on disk."""

from stflow.embedding._encode import TileJob, encode_tiles
from stflow.embedding._open_cache import cache_folder, open_cache
from stflow.embedding._prepare import prepare, replicate

__all__ = ["TileJob", "cache_folder", "encode_tiles", "open_cache", "prepare", "replicate"]
