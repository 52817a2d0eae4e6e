"""The bus: how commands and events travel over NATS JetStream, in batches, and who may say what there."""
