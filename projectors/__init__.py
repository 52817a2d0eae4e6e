"""Read models, one a file: its rows, how events change them, how it is asked."""
