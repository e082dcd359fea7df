-- An attempt is written once, when it has ended; one that runs is what its task's row says of it. That is a page and a
-- statement less each time, and with it go the attempts' ids, what counted them, and the index by workers.

-- Not so of what ran till now, for this one statement.
PRAGMA ignore_check_constraints = ON;
ALTER TABLE tasks ADD COLUMN worker INTEGER       -- who runs or ran the newest attempt, whoever owns it by now
    CHECK (status <> 'running' OR worker IS NOT NULL);
PRAGMA ignore_check_constraints = OFF;
UPDATE tasks
    SET worker = coalesce((SELECT worker FROM attempts WHERE task = tasks.id AND number = tasks.attempt), owner)
    WHERE status = 'running' AND status <> 'done';

ALTER TABLE attempts RENAME TO attempts_before;
ALTER TABLE output RENAME TO output_before;

CREATE TABLE attempts (
    task      INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL CHECK (number > 0),
    worker    TEXT NOT NULL CHECK (worker <> ''), -- its name: its row may be gone
    started   INTEGER NOT NULL,
    finished  INTEGER NOT NULL,
    outcome   TEXT NOT NULL CHECK (outcome = 'exited' OR outcome = 'signalled' OR outcome = 'timed_out'
                                   OR outcome = 'cancelled' OR outcome = 'refused' OR outcome = 'could_not_start'
                                   OR outcome = 'interrupted' OR outcome = 'lost'),
    exit_code INTEGER CHECK (exit_code BETWEEN 0 AND 255),
    signal    INTEGER CHECK (signal > 0),
    reason    TEXT,

    PRIMARY KEY (task, number),
    CHECK (exit_code IS NULL OR signal IS NULL),
    CHECK (outcome <> 'exited' OR exit_code IS NOT NULL),
    CHECK (outcome <> 'signalled' OR signal IS NOT NULL),
    CHECK ((outcome NOT IN ('refused', 'could_not_start') AND outcome <> 'lost')
           OR (exit_code IS NULL AND signal IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code, signal, reason)
    SELECT task, number, coalesce(name, worker), attempts_before.started, finished, outcome, exit_code, signal, reason
    FROM attempts_before LEFT JOIN workers ON workers.id = worker
    WHERE outcome IS NOT NULL ORDER BY task, number;

-- An attempt that printed nothing has no row here. Its rows are too long for a table without row ids, of which each level
-- would hold but a few of them.
CREATE TABLE output (
    task    INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    head    BLOB NOT NULL CHECK (length(head) <= 65536),
    tail    BLOB NOT NULL CHECK (length(tail) <= 65536),
    dropped INTEGER NOT NULL CHECK (dropped >= 0), -- bytes between the two

    PRIMARY KEY (task, number),
    FOREIGN KEY (task, number) REFERENCES attempts (task, number) ON DELETE CASCADE,
    CHECK (length(tail) = 0 OR length(head) = 65536),
    CHECK (dropped = 0 OR (length(head) = 65536 AND length(tail) = 65536))
) STRICT;

INSERT INTO output (task, number, head, tail, dropped)
    SELECT task, number, head, tail, dropped FROM output_before JOIN attempts_before ON attempts_before.id = attempt
    WHERE outcome IS NOT NULL;

DROP TABLE output_before;
DROP TABLE attempts_before;
