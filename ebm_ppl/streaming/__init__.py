"""Runs of any length in the memory of one chunk: draws are reduced as they come, or written to disk."""

from ebm_ppl.streaming._base import AbstractReduction as AbstractReduction
from ebm_ppl.streaming._covariance import Covariance as Covariance
from ebm_ppl.streaming._covariance import CovarianceResult as CovarianceResult
from ebm_ppl.streaming._histogram import Histogram as Histogram
from ebm_ppl.streaming._histogram import HistogramResult as HistogramResult
from ebm_ppl.streaming._run import StreamedRun as StreamedRun
from ebm_ppl.streaming._run import stream as stream
from ebm_ppl.streaming._summary import Summary as Summary
from ebm_ppl.streaming._summary import SummaryResult as SummaryResult
