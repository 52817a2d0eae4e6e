-- What fingerprints of personal data are taken under, such as that of an e-mail in a claim. It must outlive everything
-- that was taken under it: under another secret the same e-mail has another fingerprint, and could be claimed twice.
SET ROLE daybook_owner;
CREATE TABLE {schema}.secrets (
    name text PRIMARY KEY,
    secret bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON {schema}.secrets TO daybook_writer;
RESET ROLE;
