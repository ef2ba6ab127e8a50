"""How often intervals for log Z hold the truth."""
