"""Cohorts: one model applied to many slides, on this machine or on a cluster."""

from stflow.cohort._folder import is_cohort
from stflow.cohort._report import report
from stflow.cohort._run import run

__all__ = ["report", "run"]
