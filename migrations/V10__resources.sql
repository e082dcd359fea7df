-- What an attempt's command took of the machine, with its children. NULL: not known, as of all that ended before.
ALTER TABLE attempts ADD COLUMN user_time INTEGER CHECK (user_time >= 0);     -- microseconds
ALTER TABLE attempts ADD COLUMN system_time INTEGER CHECK (system_time >= 0); -- microseconds
ALTER TABLE attempts ADD COLUMN peak_memory INTEGER CHECK (peak_memory >= 0); -- bytes
