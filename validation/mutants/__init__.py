"""How many wrong lines of mathematics are noticed: `python -m validation.mutants --sample 60 --seed 0`.

Single changes to the package's own mathematics, drawn at random; for each the rows of the report that
concern it, then the tests of its folder, quick and slow, each in a fresh process. The changes are made here
with the standard library's `ast`, since the mutation tools at hand neither swap arguments, drop terms nor
change axes, and none of them asks a report before the tests.
"""
