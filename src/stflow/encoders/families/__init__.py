"""How each family of encoders is built, and where its weights come from."""

from stflow.encoders.families._conch import build_conch
from stflow.encoders.families._hub import DOWNLOADERS, LicenceNotice, show_licence
from stflow.encoders.families._image_model import wrap_image_model
from stflow.encoders.families._local import build_ciga, build_ctranspath
from stflow.encoders.families._timm import LITE0, SOURCES, create_lite0, create_timm, require_known
from stflow.encoders.families._transformers import build_transformer
from stflow.encoders.families._vit import build_vit
from stflow.encoders.families._weights import identify, require_file
