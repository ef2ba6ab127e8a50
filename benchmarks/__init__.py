"""Measurements: of objectives beside theory, of fits beside bars, and of speed beside peers."""
