"""The event store in Postgres: schema, append, leases, loading and reading."""
