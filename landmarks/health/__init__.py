"""The health of a data set: what `landmarks check` looks at."""
