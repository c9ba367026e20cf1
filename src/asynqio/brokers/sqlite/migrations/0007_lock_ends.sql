-- The ends of locks, so that a sweep finds expired ones without reading the others.
CREATE INDEX locks_by_end ON locks (queue, until);
