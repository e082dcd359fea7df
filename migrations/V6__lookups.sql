-- Laid so that a new word for a status or an outcome, and a second broker, are rows, and `tasks` stays as it is.
--
-- What belongs to a task's job leaves `tasks` for tables keyed by the broker as well. A put that nobody has noted yet
-- is a row of `puts`, and its note is one of `task_jobs`: so an index of the tasks that still need a job, which spanned
-- their status and their puts, is not needed, and a put writes no more pages than before.

-- DROP TABLE deletes the table's rows first. Were foreign keys on, what printed would go with the attempts.
CREATE TABLE needs (foreign_keys INTEGER NOT NULL CHECK (foreign_keys = 0));
INSERT INTO needs SELECT foreign_keys FROM pragma_foreign_keys;
DROP TABLE needs;

-- The words. A status that a program does not know is a row that makes no sense to it.
CREATE TABLE statuses (word TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO statuses (word) VALUES ('waiting'), ('running'), ('done'), ('failed'), ('cancelled');

CREATE TABLE outcomes (word TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO outcomes (word) VALUES ('exited'), ('signalled'), ('timed_out'), ('cancelled'), ('refused'),
    ('could_not_start'), ('interrupted'), ('lost');

-- The producer's own job, by which a task came that was not put by us: what tells it apart when it comes round again.
-- Ours say it themselves.
CREATE TABLE foreign_jobs (
    task     INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    broker   INTEGER NOT NULL CHECK (broker > 0), -- which one; there is but the first
    job      INTEGER NOT NULL CHECK (job >= 0),
    instance TEXT NOT NULL,                       -- the broker instance that numbered it
    hash     BLOB NOT NULL CHECK (length(hash) = 16),
    birth    INTEGER NOT NULL,                    -- when it was put, by its age; within 2 s
    kicks    INTEGER NOT NULL DEFAULT 0 CHECK (kicks >= 0),
    gone     INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1))
) STRICT;
INSERT INTO foreign_jobs (task, broker, job, instance, hash, birth, kicks, gone)
    SELECT id, 1, job, job_instance, job_hash, job_birth, job_kicks, job_gone FROM tasks WHERE foreign_job = 1
    ORDER BY id;
CREATE INDEX foreign_jobs_job ON foreign_jobs (broker, job, hash);

-- The job that we put last for a task at a broker, of those that are known. Also where the task came by another's job,
-- of which `foreign_jobs` then has the kicks, and whether it is gone.
CREATE TABLE task_jobs (
    task       INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    broker     INTEGER NOT NULL CHECK (broker > 0),
    generation INTEGER NOT NULL CHECK (generation >= 0), -- which put it was; 0: none whose job is known
    job        INTEGER CHECK (job >= 0),
    instance   TEXT,
    kicks      INTEGER NOT NULL DEFAULT 0 CHECK (kicks >= 0),
    gone       INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),

    PRIMARY KEY (task, broker)
) STRICT, WITHOUT ROWID;
INSERT INTO task_jobs (task, broker, generation, job, instance, kicks, gone)
    SELECT id, 1, put_noted, iif(foreign_job, pointer_job, job), iif(foreign_job, pointer_instance, job_instance),
        iif(foreign_job, 0, job_kicks), iif(foreign_job, 0, job_gone)
    FROM tasks
    WHERE put_noted > 0 OR iif(foreign_job, pointer_job, coalesce(job, job_instance, nullif(job_kicks, 0))) IS NOT NULL
    ORDER BY id;

-- The newest put of a task at a broker, as long as its job is not known. By tubes, since a tube is looked through for
-- those that nobody will note any more.
CREATE TABLE puts (
    tube       TEXT NOT NULL,
    task       INTEGER NOT NULL,
    broker     INTEGER NOT NULL CHECK (broker > 0),
    generation INTEGER NOT NULL CHECK (generation > 0), -- puts are counted from 1
    until      INTEGER,                           -- till then whoever began it is left to it

    PRIMARY KEY (tube, task, broker),
    FOREIGN KEY (tube, task) REFERENCES tasks (tube, id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO puts (tube, task, broker, generation, until)
    SELECT tube, id, 1, put_generation, put_until FROM tasks WHERE put_noted < put_generation;

-- Of a word that is not named here, no CHECK says anything: one that waits without being due may come.
CREATE TABLE tasks_next (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- for people
    uuid      BLOB NOT NULL CHECK (length(uuid) = 16),
    tube      TEXT NOT NULL CHECK (length(tube) BETWEEN 1 AND 200),
    status    TEXT NOT NULL REFERENCES statuses (word),
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
    worker    INTEGER,                            -- who runs or ran the newest attempt, whoever owns it by now
    ahead     INTEGER NOT NULL DEFAULT 0          -- 1: has begun only if its worker's batch journal says so
              CHECK (ahead IN (0, 1)),
    reason    TEXT,                               -- why it failed, or is not where it should be

    created   INTEGER NOT NULL,
    started   INTEGER,                            -- of the newest attempt
    finished  INTEGER,

    CHECK (status <> 'waiting' OR due IS NOT NULL),
    CHECK (due IS NULL
           OR (status <> 'running' AND status <> 'done' AND status <> 'failed' AND status <> 'cancelled')),
    CHECK (status <> 'running' OR (owner IS NOT NULL AND worker IS NOT NULL)),
    CHECK (owner IS NULL
           OR (status <> 'waiting' AND status <> 'done' AND status <> 'failed' AND status <> 'cancelled')),
    CHECK (finished IS NULL OR (status <> 'waiting' AND status <> 'running')),
    CHECK (finished IS NOT NULL OR (status <> 'done' AND status <> 'failed' AND status <> 'cancelled')),
    CHECK ((status <> 'running' AND status <> 'done') OR attempt > 0),
    CHECK ((attempt > 0) = (started IS NOT NULL)),
    CHECK (spent + lost <= attempt),
    CHECK ((arguments IS NULL) = (options IS NULL)),
    CHECK ((arguments IS NULL) = (body IS NOT NULL)),
    CHECK (arguments IS NULL OR command IS NOT NULL)
) STRICT;

-- So that no id is given out again.
INSERT INTO sqlite_sequence (name, seq) SELECT 'tasks_next', seq FROM sqlite_sequence WHERE name = 'tasks';
INSERT INTO tasks_next (id, uuid, tube, status, due, command, arguments, options, body, priority, ttr, attempt, spent,
                        lost, owner, worker, ahead, reason, created, started, finished)
    SELECT id, uuid, tube, status, due, command, arguments, options, body, priority, ttr, attempt, spent,
           lost, owner, worker, ahead <> 0, reason, created, started, finished
    FROM tasks ORDER BY id;
DROP TABLE tasks;
ALTER TABLE tasks_next RENAME TO tasks;

-- As before, but that a tube and an id together are what `puts` refers to. Made last: sorted, they are written once.
CREATE UNIQUE INDEX tasks_uuid ON tasks (uuid);
CREATE UNIQUE INDEX tasks_tube ON tasks (tube, id);
CREATE INDEX tasks_command ON tasks (command);
CREATE INDEX tasks_status ON tasks (status) WHERE status <> 'done';
CREATE INDEX tasks_finished ON tasks (finished, status) WHERE finished IS NOT NULL;

CREATE TABLE attempts_next (
    task      INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL CHECK (number > 0),
    worker    TEXT NOT NULL CHECK (worker <> ''), -- its name: its row may be gone
    started   INTEGER NOT NULL,
    finished  INTEGER NOT NULL,
    outcome   TEXT NOT NULL REFERENCES outcomes (word),
    exit_code INTEGER CHECK (exit_code BETWEEN 0 AND 255),
    signal    INTEGER CHECK (signal > 0),
    reason    TEXT,

    PRIMARY KEY (task, number),
    CHECK (exit_code IS NULL OR signal IS NULL),
    CHECK (outcome <> 'exited' OR exit_code IS NOT NULL),
    CHECK (outcome <> 'signalled' OR signal IS NOT NULL),
    CHECK ((outcome <> 'refused' AND outcome <> 'could_not_start' AND outcome <> 'lost')
           OR (exit_code IS NULL AND signal IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_next (task, number, worker, started, finished, outcome, exit_code, signal, reason)
    SELECT task, number, worker, started, finished, outcome, exit_code, signal, reason
    FROM attempts ORDER BY task, number;
-- `output` goes on referring to what is called `attempts`.
DROP TABLE attempts;
ALTER TABLE attempts_next RENAME TO attempts;
