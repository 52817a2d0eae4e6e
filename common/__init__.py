"""The kernel: messages, store, bus and shells. It knows no business; a context is something it is given."""
