-- A worker that is stopped or hangs, and so does not keep its command's time, is killed by its tender: what it ran is
-- lost for that, and not for something that its task did to it.

ALTER TABLE workers ADD COLUMN hung INTEGER; -- when it was noted that it is to be killed for that
