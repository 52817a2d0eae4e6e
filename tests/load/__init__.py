"""What Daybook is measured with and against. `make bench` says how it compares."""
