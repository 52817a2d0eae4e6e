"""What Daybook is compared with, a file each. Every rival does its work on servers of its own, as durable as Daybook's:
`fsync` and `synchronous_commit` on, JetStream's `sync_interval: always`. Where it does less or more, it says so.
"""
