"""WHEN and WHERE: Prefect flows, schedules and the command line. Touches no pixel."""
