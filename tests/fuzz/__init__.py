"""Fuzzing: mutated inputs against everything that reads what others have written.

`python -m tests.fuzz NAME --inputs N --seed S` runs one target, `python -m tests.fuzz` lists them. Inputs
that found a fault are kept in `found/`, as NAME--WHAT, and are tried again in the suite.
"""
