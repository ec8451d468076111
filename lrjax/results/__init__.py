"""Results on disk: rows, arrays, finished parts, the lock of a directory."""
