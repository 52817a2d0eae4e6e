"""What runs a context: worker, leases, relay, projections and answers; generic, one for all contexts."""
