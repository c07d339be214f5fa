"""Image encoders: tiles in, one vector a tile out. torch and timm, no SpatialData."""

from stflow.encoders._card import IMAGENET
from stflow.encoders._encoder import Encoder, Pooling, qualified_name, weights_digest
from stflow.encoders._listing import list
from stflow.encoders._pooling import StagePool
from stflow.encoders._reach import Reach, halo_px, probe
from stflow.encoders._registry import (
    encoder_of,
    find_card,
    get_encoder,
    known_name,
    require_encoder,
)
from stflow.encoders.families import DOWNLOADERS, LicenceNotice

__all__ = ["Encoder", "LicenceNotice", "get_encoder", "list"]
