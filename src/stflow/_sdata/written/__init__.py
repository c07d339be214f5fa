"""What verbs write into a table, as embeddings and predictions; and a prediction as a table."""

from stflow._sdata.written._embedding import require_new_embedding, write_embedding
from stflow._sdata.written._fractions import require_new_fractions, write_fractions
from stflow._sdata.written._graph import join_graphs, require_new_graph, write_graph
from stflow._sdata.written._predicted import predicted_table
from stflow._sdata.written._predictions import (
    lacks_panel,
    require_new_prediction,
    with_panel,
    write_predictions,
)
from stflow._sdata.written._scores import require_new_scores, write_scores
from stflow._sdata.written._shares import require_new_shares, share_columns, write_shares
