"""Products as their providers ship them: folders whose metadata say which file is which band, and what it means."""
