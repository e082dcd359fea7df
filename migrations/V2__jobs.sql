-- The embedded broker's queue: jobs, where they stand, and whose they are.
--
-- A time `…_at` is milliseconds since boot, which no step of the machine's clock changes; the boot is in `queue`. What
-- outlives a boot has its `…_wall` besides, milliseconds since 1970, and the length that was asked for.

CREATE TABLE queue (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    boot     TEXT NOT NULL,                       -- the boot that the times count from
    sessions INTEGER NOT NULL CHECK (sessions >= 0) -- how many there have been; a session's number is its lock's
) STRICT;
INSERT INTO queue (only_row, boot, sessions) VALUES (1, '', 0);

CREATE TABLE jobs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given out again
    tube       TEXT NOT NULL CHECK (length(tube) BETWEEN 1 AND 200),
    state      TEXT NOT NULL CHECK (state = 'ready' OR state = 'delayed' OR state = 'reserved' OR state = 'buried'),
    priority   INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
    ttr        INTEGER NOT NULL CHECK (ttr BETWEEN 1 AND 4294967295),        -- seconds
    created    INTEGER NOT NULL,                  -- milliseconds since 1970

    delay      INTEGER CHECK (delay > 0),         -- as asked for, in milliseconds
    ready_at   INTEGER,
    ready_wall INTEGER,

    session    INTEGER CHECK (session > 0),       -- whose it is while that session's lock is held
    due_at     INTEGER,                           -- and not longer than till then

    burial     INTEGER CHECK (burial > 0),        -- in a tube, those buried first are kicked first

    reserves   INTEGER NOT NULL DEFAULT 0 CHECK (reserves >= 0),
    timeouts   INTEGER NOT NULL DEFAULT 0 CHECK (timeouts >= 0),
    releases   INTEGER NOT NULL DEFAULT 0 CHECK (releases >= 0),
    buries     INTEGER NOT NULL DEFAULT 0 CHECK (buries >= 0),
    kicks      INTEGER NOT NULL DEFAULT 0 CHECK (kicks >= 0),

    CHECK ((state = 'delayed') = (delay IS NOT NULL)),
    CHECK ((state = 'delayed') = (ready_at IS NOT NULL)),
    CHECK ((state = 'delayed') = (ready_wall IS NOT NULL)),
    CHECK ((state = 'reserved') = (session IS NOT NULL)),
    CHECK ((state = 'reserved') = (due_at IS NOT NULL)),
    CHECK ((state = 'buried') = (burial IS NOT NULL)),
    CHECK (timeouts <= reserves)
) STRICT;

-- The next of a tube; when the next will be ready; whose time runs out, and who holds any; the next to be kicked.
CREATE INDEX jobs_ready ON jobs (tube, priority, id) WHERE state = 'ready';
CREATE INDEX jobs_delayed ON jobs (tube, ready_at) WHERE state = 'delayed';
CREATE INDEX jobs_reserved ON jobs (tube, due_at, session) WHERE state = 'reserved';
CREATE INDEX jobs_buried ON jobs (tube, burial) WHERE state = 'buried';

-- Apart from what changes, so that a large one is written once.
CREATE TABLE job_bodies (
    job  INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;

-- Nobody reserves from these until then.
CREATE TABLE pauses (
    tube       TEXT PRIMARY KEY CHECK (length(tube) BETWEEN 1 AND 200),
    length     INTEGER NOT NULL CHECK (length > 0), -- as asked for, in milliseconds
    until_at   INTEGER NOT NULL,
    until_wall INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which tubes a session waits for when it waits, which its second lock says.
CREATE TABLE watches (
    tube    TEXT NOT NULL CHECK (length(tube) BETWEEN 1 AND 200),
    session INTEGER NOT NULL CHECK (session > 0),
    PRIMARY KEY (tube, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_session ON watches (session);
