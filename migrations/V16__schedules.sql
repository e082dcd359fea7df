-- What is due later than an hour has no job until it is near. Whoever looks for what waits, and for jobs that are
-- missing, passes over such tasks: all ordinary ones stand together in the index by statuses, with a NULL.

ALTER TABLE tasks ADD COLUMN later INTEGER        -- 1: waits, and its job is put when its time is near
    CHECK (later IS NULL OR (later = 1 AND status = 'waiting'));
DROP INDEX tasks_status;
CREATE INDEX tasks_status ON tasks (status, later) WHERE status <> 'done';
CREATE INDEX tasks_later ON tasks (tube, due) WHERE later IS NOT NULL;

-- What makes tasks at given times.
CREATE TABLE schedules (
    name    TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    source  TEXT,                                 -- the configuration that it is of; NULL: made by a command
    timing  TEXT NOT NULL,                        -- when: `src/schedule/spec.rs` has these three,
    rules   TEXT NOT NULL,                        --   what is done when that did not go as planned,
    task    TEXT NOT NULL,                        --   and what is made
    nominal INTEGER NOT NULL,                     -- all its times up to then are decided
    held    INTEGER,                              -- one of them that waits for the schedule's tasks to end
    paused  INTEGER,                              -- since when; NULL: it is not
    made    INTEGER NOT NULL                      -- since when it is as it is
) STRICT, WITHOUT ROWID;

-- The tasks that came of schedules. No time of a schedule has two.
CREATE TABLE fires (
    task          INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    schedule      TEXT NOT NULL,                  -- its name; its row may be gone
    nominal       INTEGER,                        -- the time that it came of; NULL: made by hand
    scheduled_for TEXT,                           -- the same for the command, with the zone's offset
    backfilled    INTEGER NOT NULL CHECK (backfilled IN (0, 1)),

    UNIQUE (schedule, nominal)
) STRICT;
CREATE INDEX fires_schedule ON fires (schedule, task);
