"""Pure arrays: where an H&E image shows pen, folds or blur in place of tissue."""

from stflow.artifacts._blur import detail, find_blur
from stflow.artifacts._density import density
from stflow.artifacts._folds import find_folds
from stflow.artifacts._pen import find_pen
from stflow.artifacts._pieces import near
