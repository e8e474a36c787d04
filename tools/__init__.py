"""Tools of the repository itself: nothing of this is installed."""
