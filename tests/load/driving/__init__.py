"""What the load-test scripts `tests.load.http` and `tests.load.nats` share: all but the way a request travels."""
