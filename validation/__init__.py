"""The project's own evidence: scripts that anyone can run from a checkout, and the data that they gave."""
