-- States of long streams, so that not every event since the first has to be folded. Each can be made again: nothing is
-- lost with one. It stands on the event of its version, recorded then, in this incarnation; else nobody looks at it.
SET ROLE daybook_owner;
CREATE TABLE {schema}.snapshots (
    stream text PRIMARY KEY,
    version bigint NOT NULL,
    shape int NOT NULL,
    incarnation text NOT NULL,
    recorded_at timestamptz NOT NULL,
    data text NOT NULL
);
GRANT SELECT ON {schema}.snapshots TO daybook_writer, daybook_reader;
GRANT INSERT, UPDATE ON {schema}.snapshots TO daybook_writer;
RESET ROLE;
