-- Three roles that a login takes on. Only the owner may change the schema; the writer cannot rewrite history; the
-- reader only reads.
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['daybook_owner', 'daybook_writer', 'daybook_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
        EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    END LOOP;
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO daybook_owner', current_database());
END $$;
