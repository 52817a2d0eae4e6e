-- One context's event store. {schema} is the context's name.
CREATE SCHEMA IF NOT EXISTS {schema};
ALTER SCHEMA {schema} OWNER TO daybook_owner;
SET ROLE daybook_owner;

-- The counter that gives positions: one row, advanced inside the append, so position order is commit order, no gaps.
CREATE TABLE {schema}.head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT '-infinity',
    incarnation text NOT NULL DEFAULT gen_random_uuid()::text
) WITH (fillfactor = 10);
INSERT INTO {schema}.head DEFAULT VALUES;

-- Who may append for a partition, and how far its part of the command stream is settled: `done` is a sequence of the
-- stream that was made at `source`, and means nothing in another one.
CREATE TABLE {schema}.leases (
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    beat bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    source text NOT NULL DEFAULT '',
    clean boolean NOT NULL DEFAULT true,
    attempting bigint,
    attempts int NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE {schema}.events (
    position bigint PRIMARY KEY,
    stream text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    type text NOT NULL,
    data text NOT NULL,
    n smallint NOT NULL,
    command_id text NOT NULL,
    principal text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    accepted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    UNIQUE (stream, version)
);

-- The lasting answer to each command.
CREATE TABLE {schema}.receipts (
    principal text NOT NULL,
    command_id text NOT NULL,
    hash text NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'rejected', 'parked')),
    type text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    events int NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    detail text NOT NULL,
    correlation_id text NOT NULL,
    accepted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (principal, command_id)
);

-- Values that one stream at most may hold.
CREATE TABLE {schema}.claims (
    kind text NOT NULL,
    value text NOT NULL,
    stream text NOT NULL,
    PRIMARY KEY (kind, value)
);

-- The state of each stream of a CRUD context; its version is that of the stream's last event.
CREATE TABLE {schema}.rows (
    stream text PRIMARY KEY,
    version bigint NOT NULL,
    data text NOT NULL
);

-- Commands that crashed the code and those held behind them, in arrival order within a key.
CREATE TABLE {schema}.parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    sequence bigint NOT NULL,
    principal text NOT NULL,
    command_id text NOT NULL,
    type text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    expected_version bigint,
    person text NOT NULL,
    body text NOT NULL,
    accepted_at timestamptz NOT NULL,
    reason text NOT NULL
);
CREATE INDEX ON {schema}.parked (key, id);

GRANT USAGE ON SCHEMA {schema} TO daybook_writer, daybook_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO daybook_writer, daybook_reader;
GRANT INSERT ON {schema}.events, {schema}.receipts TO daybook_writer;
GRANT INSERT, UPDATE ON {schema}.rows, {schema}.leases TO daybook_writer;
GRANT INSERT, UPDATE, DELETE ON {schema}.claims TO daybook_writer;
GRANT INSERT ON {schema}.parked TO daybook_writer;
GRANT UPDATE (position, recorded_at) ON {schema}.head TO daybook_writer;
RESET ROLE;
