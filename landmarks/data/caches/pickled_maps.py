"""Memory maps in what other processes are given: by file, not by content."""

import numpy as np


def unmap(value):
    """Return what a process needs to map an array itself; other values as they are."""
    if isinstance(value, np.memmap) and value.base is not None and value.flags.c_contiguous:
        whole = value.base if isinstance(value.base, np.memmap) else value
        offset = whole.offset + value.ctypes.data - whole.ctypes.data  # a slice's own says nothing
        return ("mapped", str(value.filename), str(value.dtype), value.shape, offset)
    return value


def remap(value):
    """Return what `unmap` was given."""
    if isinstance(value, tuple) and value[:1] == ("mapped",):
        _, filename, dtype, shape, offset = value
        return np.memmap(filename, dtype, mode="r", shape=shape, offset=offset)
    return value
