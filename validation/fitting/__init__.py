"""From a table of numbers to a trained energy and a report on it: what `ebm-ppl fit` does."""

from validation.fitting.recipes import ENERGIES as ENERGIES
from validation.fitting.recipes import OBJECTIVES as OBJECTIVES
from validation.fitting.run import FitRun as FitRun
from validation.fitting.run import run_fit as run_fit
from validation.fitting.table import Table as Table
from validation.fitting.table import TableError as TableError
from validation.fitting.table import read_csv as read_csv
