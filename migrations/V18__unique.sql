-- Keys that no two tasks have at a time. The row is what has the key: a task without one costs nothing more, and none
-- is left over when a task ends, or goes.

ALTER TABLE tasks ADD COLUMN unique_key TEXT      -- NULL: it has none
    CHECK (unique_key IS NULL OR length(CAST(unique_key AS BLOB)) BETWEEN 1 AND 200);
ALTER TABLE tasks ADD COLUMN unique_until INTEGER;
ALTER TABLE tasks ADD COLUMN unique_while TEXT    -- while it waits; waits or runs; or until then, wherever it stands
    CHECK ((unique_key IS NULL OR coalesce(unique_while IN ('waiting', 'unfinished', 'until'), 0))
           AND (unique_key IS NULL OR (unique_while = 'until') = (unique_until IS NOT NULL)));
CREATE UNIQUE INDEX tasks_unique ON tasks (unique_key)
    WHERE unique_key IS NOT NULL
        AND (status = 'waiting' OR (status = 'running' AND unique_while = 'unfinished') OR unique_while = 'until');
