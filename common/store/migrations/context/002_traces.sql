-- What one wish led to, found without a cost to the usual append: a command that nobody else caused has itself as its
-- correlation, and one that recorded something is found by its events.
SET ROLE daybook_owner;
CREATE INDEX receipts_caused ON {schema}.receipts (correlation_id, position) WHERE correlation_id <> command_id;
CREATE INDEX receipts_eventless ON {schema}.receipts (key, position) WHERE events = 0;
RESET ROLE;
