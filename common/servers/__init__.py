"""The servers that come with the project: a nats-server and two Postgres, from wheels, in a data folder of ours."""
