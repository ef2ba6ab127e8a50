"""Training gone wrong: objectives and loops with one planted bug each."""
