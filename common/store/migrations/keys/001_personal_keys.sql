-- One key a person. A destroyed key stays as a row without its bytes, so that it is not made anew.
CREATE SCHEMA IF NOT EXISTS {schema};
ALTER SCHEMA {schema} OWNER TO daybook_owner;
SET ROLE daybook_owner;
CREATE TABLE {schema}.personal_keys (
    person text PRIMARY KEY,
    key bytea,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    destroyed_at timestamptz
);
GRANT USAGE ON SCHEMA {schema} TO daybook_writer, daybook_reader;
GRANT SELECT ON {schema}.personal_keys TO daybook_reader;
GRANT SELECT, INSERT ON {schema}.personal_keys TO daybook_writer;
RESET ROLE;
