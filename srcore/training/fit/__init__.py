"""The training itself: steps, losses over time, searches and folds."""
