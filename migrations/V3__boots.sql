-- Attempts that end with the machine say nothing about their tasks: those of a worker of another boot are not counted.

ALTER TABLE workers ADD COLUMN boot TEXT NOT NULL DEFAULT ''; -- the boot it was started in; '' where that is not known
