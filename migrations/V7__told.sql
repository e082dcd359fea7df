-- A worker that was told to go and is killed before it has gone has not died of its task: what it ran was interrupted.

ALTER TABLE workers ADD COLUMN told INTEGER; -- when it was noted that it was told to go
