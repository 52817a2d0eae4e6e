"""The words of the system as a page: every context, command, event, read model and query, and a map of the contexts."""
