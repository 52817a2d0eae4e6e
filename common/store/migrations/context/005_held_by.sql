-- A parked command holds back those that are held by the same: by default all of its key.
SET ROLE daybook_owner;
ALTER TABLE {schema}.parked ADD COLUMN held_by text NOT NULL DEFAULT '';
UPDATE {schema}.parked SET held_by = key;
ALTER TABLE {schema}.parked ALTER COLUMN held_by DROP DEFAULT;
CREATE INDEX parked_held ON {schema}.parked (key, held_by, id);
RESET ROLE;
