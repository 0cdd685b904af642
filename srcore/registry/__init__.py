"""Models under a name, and which version of each is the champion; what a reference to one means."""
