"""Public data sets and slides at hand, as tasks of the benchmark."""

from stflow.bench.readers._hest import read_hest
from stflow.bench.readers._spatialdata import from_slides
from stflow.bench.readers._stimage import read_stimage
from stflow.bench.readers._suites import read_patients, read_suite
