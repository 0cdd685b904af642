"""When a scene was taken: what its tags and names say of it, and what is said where they do not."""
