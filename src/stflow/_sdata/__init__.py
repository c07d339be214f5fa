"""THE boundary: the only place that reads and writes SpatialData."""

from stflow._sdata._blank import warn_of_artifacts, warn_of_blank_slides, warn_of_blank_tiles
from stflow._sdata._build import (
    annotate,
    build_slide,
    circles,
    image_element,
    picture,
    table_of_spots,
)
from stflow._sdata._cohort import (
    Outcome,
    SlideSize,
    has_images,
    has_spots,
    has_tissue,
    measure_slide,
    note_patient,
    note_record,
    outcome,
    read_record,
    some_spots,
    with_images,
    without_images,
)
from stflow._sdata._described import describe, describe_recipe
from stflow._sdata._elements import put, require_new, same_name
from stflow._sdata._features import match_features, read_features
from stflow._sdata._images import get_pyramid, resolve_image
from stflow._sdata._lazy import copied
from stflow._sdata._names import by_text, groups_of, is_missing, require_apart, text_name
from stflow._sdata._outlines import mend, outlines, outlines_on_image, require_on_image
from stflow._sdata._patients import (
    PatientsUnclear,
    column_groups,
    patients_of,
    read_patients,
    slide_groups,
    told_patients,
)
from stflow._sdata._recipe import (
    read_recipe,
    require_same_recipe,
    require_same_width,
    same_word,
    shared_recipe,
)
from stflow._sdata._slides import as_mapping, read_slides
from stflow._sdata._spacing import (
    is_pitch,
    shared_pitch_um,
    warn_of_other_pitch,
    warn_of_wide_boxes,
)
from stflow._sdata._store import Store, require_new_store, store_path, write_store
from stflow._sdata._systems import image_places
from stflow._sdata._tables import (
    Region,
    get_regions,
    get_table,
    put_table,
    require_sdata,
    slide_names,
)
