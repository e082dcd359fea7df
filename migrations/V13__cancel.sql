-- Somebody may ask for a task to be cancelled while an attempt of it runs. The row says so until that attempt has ended,
-- however it ends; why, if that was said, is the row's `reason`.

ALTER TABLE tasks ADD COLUMN cancel_asked INTEGER -- when somebody first did
    CHECK (cancel_asked IS NULL OR status = 'running');
ALTER TABLE tasks ADD COLUMN cancel_now INTEGER NOT NULL DEFAULT 0 -- 1: the command is killed, and not asked to end
    CHECK (cancel_now IN (0, 1) AND (cancel_now = 0 OR cancel_asked IS NOT NULL));
