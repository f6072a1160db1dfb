"""From faces to batches: order, crops kept in a cache, worker processes, the device."""
