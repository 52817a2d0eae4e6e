"""`python -m gateway.cli`: the command `daybook` where it is not installed."""

from gateway.cli import main

main()
