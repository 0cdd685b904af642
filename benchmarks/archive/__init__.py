"""Files that mislead, and real ones: what was published, and whether that is right."""
