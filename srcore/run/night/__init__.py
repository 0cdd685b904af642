"""A night: which due scenes come when, side by side or one by one, and what it came to."""
