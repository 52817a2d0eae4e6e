"""The bounded contexts, one package each. What is public of a context is `commands` and `events`, nothing else.

`python -m contexts [names]` runs them. To add one, add a package with `commands`, `events`, its rules and `wiring`.
"""
