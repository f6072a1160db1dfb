"""One file a benchmark: `add_options(parser)`, and `measure(options)`, which returns the result."""
