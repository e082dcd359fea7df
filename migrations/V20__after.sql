-- Tasks that wait for others. Such a task waits without a job (`later`), due never, until those that it waits for have
-- ended; when it is truly due, and what it waits for, stands here. A task that has nothing to do with others has no row
-- here, and two columns without a value.

ALTER TABLE tasks ADD COLUMN children INTEGER CHECK (children = 1); -- others wait, or have waited, for it
ALTER TABLE tasks ADD COLUMN parents INTEGER CHECK (parents = 1);   -- it waits, or has waited, for others

CREATE TABLE awaiting (
    task   INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    any    INTEGER NOT NULL CHECK (any IN (0, 1)), -- 1: goes with the first of them that ends well
    rule   TEXT NOT NULL CHECK (rule IN ('cancel', 'run', 'hold')), -- what becomes of it where they end otherwise
    due    INTEGER NOT NULL,                      -- may run from then on, once it may go
    -- cancelled: by its rule; over: its parents matter to it no more
    stands TEXT NOT NULL CHECK (stands IN ('waits', 'cancelled', 'over')),
    open   INTEGER NOT NULL CHECK (open >= 0),    -- so many have not ended,
    well   INTEGER NOT NULL CHECK (well >= 0),    --   have ended well,
    badly  INTEGER NOT NULL CHECK (badly >= 0)    --   and otherwise
) STRICT;

-- Which waits for which. How the parent ended stays here when its row goes.
CREATE TABLE edges (
    parent INTEGER NOT NULL,                      -- its row may be gone
    child  INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    -- NULL: it has not, as far as its child knows
    ended  TEXT CHECK (ended IN ('done', 'failed', 'cancelled', 'deleted')),

    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_child ON edges (child);

-- Parents of which not all children have heard where they stand now: a few hear in the transaction that ends the
-- parent, and others after it. Whoever is killed in between leaves the rest to whoever looks next.
CREATE TABLE unheard (
    parent INTEGER PRIMARY KEY,
    behind INTEGER NOT NULL                       -- the children up to that one have heard
) STRICT;
