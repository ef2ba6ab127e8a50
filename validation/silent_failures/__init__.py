"""How often a public function is wrong without a word, on problems that nobody tuned it for.

`python -m validation.silent_failures` asks every function at its defaults.
"""
