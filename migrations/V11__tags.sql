-- What producers call their tasks. A task without tags has no row here, and costs nothing more.

CREATE TABLE tags (
    name  TEXT NOT NULL CHECK (name <> ''),
    task  INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    value TEXT,                                   -- NULL: it has none, which is not an empty one

    PRIMARY KEY (name, task)
) STRICT, WITHOUT ROWID;

-- A task's tags; and the tasks with a value, in the order of their rows.
CREATE INDEX tags_task ON tags (task);
CREATE INDEX tags_value ON tags (name, value, task) WHERE value IS NOT NULL;
