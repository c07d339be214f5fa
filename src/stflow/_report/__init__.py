"""A page about a slide, and one about a cohort: what is known, in words and pictures."""

from stflow._report._index import Line, index_page
from stflow._report._paths import require_free_page
from stflow._report._report import report
from stflow._report._words import without_paths
