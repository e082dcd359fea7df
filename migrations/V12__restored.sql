-- Which file the store is, so that one that was restored, copied or moved is noticed; and what such a file may lack: tasks
-- that were recorded in the file before it, whose jobs may still be at the broker.

ALTER TABLE store ADD COLUMN inode INTEGER;       -- of the file that was last opened to record; NULL: none was yet
ALTER TABLE store ADD COLUMN lacks_from INTEGER;  -- tasks recorded from then on
ALTER TABLE store ADD COLUMN lacks_until INTEGER; -- until then may be missing; NULL: none are
ALTER TABLE store ADD COLUMN deleted INTEGER;     -- when the newest was recorded of those that were deleted; NULL: none was

-- What is delayed was put no later than now, by the clock that counts from boot; else that clock has begun anew.
CREATE INDEX jobs_begun ON jobs (ready_at - delay) WHERE state = 'delayed';
