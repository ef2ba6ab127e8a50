"""One module per public estimator of log Z."""
