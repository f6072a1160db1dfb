"""Several processes that train one model: with one process everything here does nothing."""
