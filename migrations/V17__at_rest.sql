-- For who asks how many tasks of which tube wait, have failed or are cancelled, and since when the first of them has
-- been due: by the index alone, and no further than asked for. What runs and what is done is not in it, so a task costs
-- it one entry when it is put, and one less when it begins. What is due much later stands behind the rest of its tube.
--
-- `status <> 'running'` stands in the queries as it stands here, or the index is not used.

CREATE INDEX tasks_at_rest ON tasks (status, tube, later, due) WHERE status <> 'done' AND status <> 'running';
