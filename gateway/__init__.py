"""The gateway: commands in, queries out, over HTTP; and the command `daybook`, a door of the same kind."""

__version__ = "0.1.0"
