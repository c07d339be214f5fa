"""What cross_validate needs: folds, methods fitted to them, what is done so far, comparison."""

from stflow.tl._contest._competitors import Contest, Outcome, resolve_methods
from stflow.tl._contest._computing import outcomes
from stflow.tl._contest._finished import FoldStore
from stflow.tl._contest._folds import Fold, make_folds, warn_of_split_patients
from stflow.tl._contest._paired import Held, compare_folds, over_genes, spatial_blocks
from stflow.tl._contest._words import describe_contest
