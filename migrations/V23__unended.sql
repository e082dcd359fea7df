-- For who looks every half minute for workers that were killed: they are among the few of whom no end is known.

CREATE INDEX workers_unended ON workers (id) WHERE stopped IS NULL;
