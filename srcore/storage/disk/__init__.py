"""Files: whole or not at all, named by one process, the same as they were."""
