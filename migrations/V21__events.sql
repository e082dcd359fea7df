-- What has happened, in the transaction in which it did. Numbers are never given again: the newest row stays, whatever
-- is deleted. Names are those of the task's row, and are written here only where that row is gone.

CREATE TABLE events (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    what    INTEGER NOT NULL,                     -- `src/task/event.rs` has the words
    task    INTEGER,                              -- its row may be gone
    attempt INTEGER,
    detail  TEXT                                  -- JSON: what is known from nowhere else
) STRICT;
