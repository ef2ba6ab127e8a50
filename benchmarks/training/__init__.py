"""Training speed beside TorchEBM and beside bare JAX."""
