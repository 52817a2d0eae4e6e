-- Which version of its model stands at a checkpoint; reactions and effects have none, and keep the first.
SET ROLE daybook_owner;
ALTER TABLE {schema}.checkpoints ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;
RESET ROLE;
