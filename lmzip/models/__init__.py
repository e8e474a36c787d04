"""Known models, fetching, conversion into exact packs, and the packs on this machine."""
