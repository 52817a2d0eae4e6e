"""The gateway: commands in, queries out, over HTTP; and the command `daybook`, a door of the same kind."""
