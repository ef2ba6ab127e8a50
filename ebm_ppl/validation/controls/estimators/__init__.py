"""Planted bugs in estimators of log Z."""
