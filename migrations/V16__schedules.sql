-- What is due later than an hour has no job until it is near. Whoever looks for what waits, and for jobs that are
-- missing, passes over such tasks: all ordinary ones stand together in the index by statuses, with a NULL.

ALTER TABLE tasks ADD COLUMN later INTEGER        -- 1: waits, and its job is put when its time is near
    CHECK (later IS NULL OR (later = 1 AND status = 'waiting'));
DROP INDEX tasks_status;
CREATE INDEX tasks_status ON tasks (status, later) WHERE status <> 'done';
CREATE INDEX tasks_later ON tasks (tube, due) WHERE later IS NOT NULL;
