"""Several processes that do one job: with one process everything here does nothing."""
