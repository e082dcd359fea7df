-- What an attempt's command took of the machine, with its children. NULL: not known, as of all that ended before.
ALTER TABLE attempts ADD COLUMN user_time INTEGER CHECK (user_time >= 0);     -- microseconds
ALTER TABLE attempts ADD COLUMN system_time INTEGER CHECK (system_time >= 0); -- microseconds
ALTER TABLE attempts ADD COLUMN peak_memory INTEGER CHECK (peak_memory >= 0); -- bytes

-- And those of what ended in a minute, all together, and the most of one.
ALTER TABLE minutes ADD COLUMN cpu INTEGER NOT NULL DEFAULT 0 CHECK (cpu >= 0);       -- microseconds
ALTER TABLE minutes ADD COLUMN memory INTEGER NOT NULL DEFAULT 0 CHECK (memory >= 0); -- bytes
