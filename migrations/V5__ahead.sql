-- Of a full tube a worker claims several tasks in one transaction, and runs one after the other. Which of them have begun,
-- and how those have ended that are not recorded yet, is on its slate, a file beside the store.

ALTER TABLE tasks ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0; -- 1: has begun only if its worker's slate says so
