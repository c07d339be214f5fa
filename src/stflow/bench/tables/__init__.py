"""Tables, figures and pages made from results."""

from stflow.bench.tables._checked import checked
from stflow.bench.tables._figures import MARKERS
from stflow.bench.tables._report import write_tables
from stflow.bench.tables._rows import summarise
