-- What a context asks of itself and of others, because of what has happened or of what has not happened in time.
SET ROLE daybook_owner;

-- How far reactions have come in each context that they follow. Reference data keeps its place in the same table, which
-- it may have made before.
CREATE TABLE IF NOT EXISTS {schema}.checkpoints (
    model text,
    context text,
    generation bigint NOT NULL DEFAULT 0,
    incarnation text NOT NULL DEFAULT '',
    position bigint NOT NULL DEFAULT 0,
    stream_seq bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (model, context)
) WITH (fillfactor = 10);

-- By when something must have happened to a stream; set and ended by the append, removed once it was asked what then.
-- The event is the one that set it.
CREATE TABLE {schema}.deadlines (
    stream text NOT NULL,
    name text NOT NULL,
    due_at timestamptz NOT NULL,
    event_id text NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (stream, name)
);
CREATE INDEX deadlines_due ON {schema}.deadlines (due_at);

GRANT SELECT ON {schema}.checkpoints, {schema}.deadlines TO daybook_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.checkpoints, {schema}.deadlines TO daybook_writer;
RESET ROLE;
