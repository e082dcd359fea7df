-- A file system gives the number of a file that is gone to the next one: a copy may have its number. When it was born, it
-- has not.

ALTER TABLE store ADD COLUMN born INTEGER;        -- nanoseconds since 1970; NULL: the file system does not say, or not asked
