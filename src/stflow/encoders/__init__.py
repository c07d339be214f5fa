"""Image encoders: tiles in, one vector a tile out. torch and timm, no SpatialData."""

from stflow.encoders._encoder import Encoder
from stflow.encoders._hub import LicenceNotice
from stflow.encoders._listing import list
from stflow.encoders._registry import get_encoder

__all__ = ["Encoder", "LicenceNotice", "get_encoder", "list"]
