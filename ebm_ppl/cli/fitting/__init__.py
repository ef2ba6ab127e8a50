"""From a table of numbers to a trained energy and a report on it: what `ebm-ppl fit` does."""

from ebm_ppl.cli.fitting.recipes import ENERGIES as ENERGIES
from ebm_ppl.cli.fitting.recipes import OBJECTIVES as OBJECTIVES
from ebm_ppl.cli.fitting.run import FitRun as FitRun
from ebm_ppl.cli.fitting.run import Trained as Trained
from ebm_ppl.cli.fitting.run import examine as examine
from ebm_ppl.cli.fitting.run import train as train
from ebm_ppl.cli.fitting.table import Table as Table
from ebm_ppl.cli.fitting.table import TableError as TableError
from ebm_ppl.cli.fitting.table import read_csv as read_csv
