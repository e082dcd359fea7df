-- What commands say of their attempts. Only a task whose command has said something has a row here.

INSERT INTO outcomes (word) VALUES ('deferred');

ALTER TABLE tasks ADD COLUMN deferred INTEGER NOT NULL DEFAULT 0 -- of max_snoozes, since put or regenerated
    CHECK (deferred >= 0);

CREATE TABLE reports (
    task     INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL CHECK (number > 0), -- of the attempt that said it
    at       INTEGER NOT NULL,                    -- when it was kept
    progress REAL CHECK (progress BETWEEN 0 AND 100),
    message  TEXT CHECK (length(CAST(message AS BLOB)) <= 4096),
    result   TEXT CHECK (length(CAST(result AS BLOB)) <= 65536) -- JSON, as it was written
) STRICT;
