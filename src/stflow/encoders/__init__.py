"""Image encoders: tiles in, one vector a tile out. torch and timm, no SpatialData."""

from stflow.encoders._card import IMAGENET as IMAGENET
from stflow.encoders._encoder import Encoder
from stflow.encoders._encoder import Pooling as Pooling
from stflow.encoders._encoder import qualified_name as qualified_name
from stflow.encoders._encoder import weights_digest as weights_digest
from stflow.encoders._listing import list
from stflow.encoders._registry import get_encoder
from stflow.encoders._registry import known_name as known_name
from stflow.encoders._registry import require_encoder as require_encoder
from stflow.encoders.families import LicenceNotice

__all__ = ["Encoder", "LicenceNotice", "get_encoder", "list"]
