"""What Daybook is measured with and against. `python -m tests.load.compare` says how much it takes."""
