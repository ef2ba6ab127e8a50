"""One module per public training objective."""
