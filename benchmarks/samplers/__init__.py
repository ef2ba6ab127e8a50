"""Effective draws per CPU second of samplers, warm-up included, each held to the target's truth."""
