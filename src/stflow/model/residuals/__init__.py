"""What prediction leaves: its law, fields over the tissue, and spots that were observed."""

from stflow.model.residuals._fields import Smoother
from stflow.model.residuals._law import ResidualLaw
from stflow.model.residuals._observed import Observed
