"""The Job API: tasks over HTTP, as jobs with an id alone."""
