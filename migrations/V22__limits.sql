-- How many tasks with something in common may run, or begin: lines, each of a limit and a key.
--
-- A limit is the configuration's, and no row; but a task that is held keeps what it was held by, so that whoever has no
-- such configuration can say it, and let the next one go.

-- Attempts that take a place. Only those count that run, by their tasks' rows, and hold their locks.
CREATE TABLE limit_slots (
    limit_name TEXT NOT NULL,
    limit_key  TEXT NOT NULL,                     -- empty: there is one line, or the task has nothing that says which
    task       INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL CHECK (attempt > 0),

    PRIMARY KEY (limit_name, limit_key, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX limit_slots_task ON limit_slots (task);

-- When attempts began, for as long as that counts.
CREATE TABLE limit_starts (
    limit_name TEXT NOT NULL,
    limit_key  TEXT NOT NULL,
    at         INTEGER NOT NULL,
    task       INTEGER NOT NULL,                  -- which may be gone
    attempt    INTEGER NOT NULL,
    until      INTEGER NOT NULL,

    PRIMARY KEY (limit_name, limit_key, at, task, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX limit_starts_until ON limit_starts (until);

-- Tasks that wait for a place, and have no job; and those that were let go, until they begin.
CREATE TABLE held (
    task        INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    limit_name  TEXT NOT NULL,
    limit_key   TEXT NOT NULL,
    label       TEXT,                             -- what the key is the value of
    tube        TEXT NOT NULL,                    -- the task's
    priority    INTEGER NOT NULL,                 -- likewise
    since       INTEGER NOT NULL,                 -- who came first goes first
    due         INTEGER NOT NULL,                 -- the task's own, which it gets back
    let_go      INTEGER,                          -- since when it has a job again, or is to begin; NULL: it has none
    concurrency INTEGER CHECK (concurrency > 0),  -- what it was held by
    allowed     INTEGER CHECK (allowed > 0),
    per         INTEGER CHECK (per > 0),

    CHECK ((allowed IS NULL) = (per IS NULL))
) STRICT;
CREATE INDEX held_line ON held (limit_name, limit_key, let_go, priority, since);
CREATE INDEX held_tube ON held (tube, limit_name, limit_key) WHERE let_go IS NULL;
