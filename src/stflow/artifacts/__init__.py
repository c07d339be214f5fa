"""Pure arrays: where an H&E image shows pen, folds, blur or bubbles in place of tissue."""

from stflow.artifacts._blur import find_blur
from stflow.artifacts._bubbles import find_bubbles
from stflow.artifacts._density import density
from stflow.artifacts._folds import find_folds
from stflow.artifacts._pen import find_pen
