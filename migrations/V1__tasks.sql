-- Tasks, their attempts, and what those printed.
--
-- Times are milliseconds since 1970 by the machine's clock. They are for people and for due times; nothing is
-- ordered by them, so a clock that steps cannot make a row impossible.
--
-- A CHECK that says IN, and then more than two words, has SQLite build a table of them for each row that is written.

-- Which store this is: pointers in a tube name it.
CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id       BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;
INSERT INTO store (only_row, id) VALUES (1, randomblob(16));

CREATE TABLE workers (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,   -- the byte it holds locked while it lives
    name     TEXT NOT NULL CHECK (name <> ''),
    tube     TEXT NOT NULL,
    host     TEXT NOT NULL,
    pid      INTEGER NOT NULL CHECK (pid > 0),
    started  INTEGER NOT NULL,
    stopped  INTEGER                              -- NULL also when it was killed: its lock tells
) STRICT;

CREATE TABLE tasks (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- for people
    uuid      BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    tube      TEXT NOT NULL CHECK (length(tube) BETWEEN 1 AND 200),
    status    TEXT NOT NULL CHECK (status = 'waiting' OR status = 'running' OR status = 'done' OR status = 'failed'
                                   OR status = 'cancelled'),
    due       INTEGER,                            -- may run from then on

    -- What to run: a call, or a body as it was put.
    command   TEXT,
    arguments TEXT CHECK (json_type(arguments) = 'array'),
    options   TEXT CHECK (json_type(options) = 'object'),
    body      BLOB,

    priority  INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
    ttr       INTEGER CHECK (ttr BETWEEN 1 AND 4294967295),    -- seconds; NULL: a foreign job's, not asked for yet

    attempt   INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- the newest one's number
    spent     INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),   -- of max_attempts, since put or regenerated
    lost      INTEGER NOT NULL DEFAULT 0 CHECK (lost >= 0),    -- of max_lost, likewise
    owner     INTEGER,                                         -- the worker that answers for it
    reason    TEXT,                                            -- why it failed, or is not where it should be

    created   INTEGER NOT NULL,
    started   INTEGER,                            -- of the newest attempt
    finished  INTEGER,

    -- Its job, as last known.
    foreign_job    INTEGER NOT NULL CHECK (foreign_job IN (0, 1)), -- 1: another producer put it
    job            INTEGER CHECK (job >= 0),
    job_instance   TEXT,                          -- the broker instance that numbered it
    job_hash       BLOB CHECK (length(job_hash) = 16),
    job_birth      INTEGER,                       -- when it was put, by its age; within 2 s
    job_kicks      INTEGER NOT NULL DEFAULT 0 CHECK (job_kicks >= 0),
    job_gone       INTEGER NOT NULL DEFAULT 0 CHECK (job_gone IN (0, 1)),
    put_generation INTEGER NOT NULL DEFAULT 0 CHECK (put_generation >= 0),   -- puts begun
    put_noted      INTEGER NOT NULL DEFAULT 0
                   CHECK (put_noted BETWEEN 0 AND put_generation),           -- the newest whose job is known
    put_until      INTEGER,                       -- till then whoever began the newest put is left to it
    -- A foreign task's own job has gone, and this one rings for it.
    pointer_job      INTEGER CHECK (pointer_job >= 0),
    pointer_instance TEXT,

    CHECK ((status = 'waiting') = (due IS NOT NULL)),
    CHECK ((status = 'running') = (owner IS NOT NULL)),
    CHECK ((status IN ('waiting', 'running')) = (finished IS NULL)),
    CHECK (status NOT IN ('running', 'done') OR attempt > 0),
    CHECK ((attempt > 0) = (started IS NOT NULL)),
    CHECK (spent + lost <= attempt),
    CHECK ((arguments IS NULL) = (options IS NULL)),
    CHECK ((arguments IS NULL) = (body IS NOT NULL)),
    CHECK (arguments IS NULL OR command IS NOT NULL),
    -- What tells a foreign job apart when it comes round again; ours say it themselves.
    CHECK (foreign_job = (job_hash IS NOT NULL)),
    CHECK (foreign_job = (job_birth IS NOT NULL)),
    CHECK (foreign_job = 0 OR (job IS NOT NULL AND job_instance IS NOT NULL)),
    CHECK ((pointer_job IS NULL) = (pointer_instance IS NULL)),
    CHECK (pointer_job IS NULL OR foreign_job = 1)
) STRICT;

-- list, newest first; a task by its foreign job; what waits or runs; what ended, in the order of its end,
-- which is nearly the order of its rows. Those that are done are found by `finished` or by a scan from the newest.
-- SQLite uses tasks_status only for a query that says `status <> 'done'` in these very words.
CREATE INDEX tasks_tube ON tasks (tube);
CREATE INDEX tasks_command ON tasks (command);
CREATE INDEX tasks_foreign_job ON tasks (job, job_hash) WHERE job_hash IS NOT NULL;
CREATE INDEX tasks_unannounced ON tasks (tube) WHERE status = 'waiting' AND put_noted < put_generation;
CREATE INDEX tasks_status ON tasks (status) WHERE status <> 'done';
CREATE INDEX tasks_finished ON tasks (finished, status) WHERE finished IS NOT NULL;

CREATE TABLE attempts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- the byte that its processes hold locked
    task      INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL CHECK (number > 0),
    worker    INTEGER NOT NULL REFERENCES workers (id),
    started   INTEGER NOT NULL,
    finished  INTEGER,
    outcome   TEXT CHECK (outcome = 'exited' OR outcome = 'signalled' OR outcome = 'timed_out'
                          OR outcome = 'cancelled' OR outcome = 'refused' OR outcome = 'could_not_start'
                          OR outcome = 'interrupted' OR outcome = 'lost'),
    exit_code INTEGER CHECK (exit_code BETWEEN 0 AND 255),
    signal    INTEGER CHECK (signal > 0),
    reason    TEXT,

    UNIQUE (task, number),
    CHECK ((outcome IS NULL) = (finished IS NULL)),
    CHECK (exit_code IS NULL OR signal IS NULL),
    CHECK (outcome IS NOT NULL OR (exit_code IS NULL AND signal IS NULL)),
    CHECK (outcome IS NOT 'exited' OR exit_code IS NOT NULL),
    CHECK (outcome IS NOT 'signalled' OR signal IS NOT NULL),
    CHECK ((outcome NOT IN ('refused', 'could_not_start') AND outcome <> 'lost')
           OR (exit_code IS NULL AND signal IS NULL))
) STRICT;

CREATE INDEX attempts_worker ON attempts (worker);

-- An attempt that printed nothing has no row here.
CREATE TABLE output (
    attempt INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
    head    BLOB NOT NULL CHECK (length(head) <= 65536),
    tail    BLOB NOT NULL CHECK (length(tail) <= 65536),
    dropped INTEGER NOT NULL CHECK (dropped >= 0), -- bytes between the two
    CHECK (length(tail) = 0 OR length(head) = 65536),
    CHECK (dropped = 0 OR (length(head) = 65536 AND length(tail) = 65536))
) STRICT;
