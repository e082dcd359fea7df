-- What a task says of its own attempts: how often and after what waits it is tried, how long one may take, and what its
-- command finds in the environment. `src/task/own/written.rs` has what stands there. NULL: nothing, as of nearly all.

ALTER TABLE tasks ADD COLUMN own TEXT;
