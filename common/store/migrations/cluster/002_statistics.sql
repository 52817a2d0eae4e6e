-- The reader may see how old the oldest snapshot is: one that is held open for long makes every append slower. A login
-- that may not grant this does without; the age is then unknown.
DO $$
BEGIN
    GRANT pg_read_all_stats TO daybook_reader;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'daybook_reader may not see statistics: the age of the oldest snapshot stays unknown';
END $$;
