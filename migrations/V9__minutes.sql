-- What ended in each minute, for those who ask how fast work goes and how long it waits. Written in the transactions that
-- record the ends, once for each minute, tube and command of a transaction. A new row takes the rows of the oldest minute
-- with it once that is an hour ago, and a tube has at most some 30 commands in a minute.

CREATE TABLE minutes (
    minute  INTEGER NOT NULL,                    -- since the epoch
    tube    TEXT NOT NULL,
    command TEXT NOT NULL,                       -- '' where none is known, for what was refused, and for all
                                                 --   that are more than are counted by name
    done    INTEGER NOT NULL CHECK (done >= 0),
    failed  INTEGER NOT NULL CHECK (failed >= 0),
    retried INTEGER NOT NULL CHECK (retried >= 0), -- attempts after which the task waits for another
    waited  INTEGER NOT NULL CHECK (waited >= 0), -- milliseconds, all together, from when the tasks could have been run
    ran     INTEGER NOT NULL CHECK (ran >= 0),    -- likewise
    waits   BLOB NOT NULL,                       -- how many waited how long: pairs of a step of a duration and a number,
    runs    BLOB NOT NULL,                       --   each as a LEB128; `src/ledger/durations.rs` has the steps

    PRIMARY KEY (minute, tube, command)
) STRICT, WITHOUT ROWID;
