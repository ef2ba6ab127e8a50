"""Partition functions where sums over all states give them."""

from ebm_ppl.partition.enumeration import EnumerationNormalizer as EnumerationNormalizer
