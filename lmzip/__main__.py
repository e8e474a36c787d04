"""`python -m lmzip` is the `lmzip` command."""

from .cli.main import main

main()
