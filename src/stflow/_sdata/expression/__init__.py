"""What was measured and predicted: counts, genes and their ids, panels, comparisons."""

from stflow._sdata.expression._bounds import read_bounds
from stflow._sdata.expression._compared import (
    Compared,
    common_panel,
    read_compared,
    with_common_parts,
)
from stflow._sdata.expression._counts import layer_names
from stflow._sdata.expression._draws import read_samples
from stflow._sdata.expression._expression import (
    has_counts,
    read_counts,
    read_prediction,
    require_gene_list,
    require_genes,
    require_measured,
)
from stflow._sdata.expression._genes import clashes, gene_ids, require_same_genes, tell
from stflow._sdata.expression._measured import Measured, read_measured
from stflow._sdata.expression._numbers import Numbers, read_numbers
from stflow._sdata.expression._observed import given_spots, read_observed
from stflow._sdata.expression._panel import (
    auxiliary_genes,
    most_variable,
    panel_ids,
    rank_genes,
    require_panel,
    shared_genes,
    slide_ids,
    variable_of_expressed,
)
from stflow._sdata.expression._recorded import (
    FRACTIONS,
    are_fractions,
    counting_of,
    record_units,
    recorded_draws,
    recorded_shares,
    recorded_training_slides,
    recorded_units,
    warn_of_training_slides,
)
from stflow._sdata.expression._reference import Reference, read_reference
from stflow._sdata.expression._sets import Behind, known_trust, read_behind, read_trust
from stflow._sdata.expression._spread import Spread, lacks_sd, read_spread, record_shift
from stflow._sdata.expression._totals import (
    Counting,
    gene_shares,
    read_totals,
    require_whole_totals,
)
