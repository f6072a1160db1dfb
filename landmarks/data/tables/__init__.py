"""Tables of points as text or Parquet, read in bounded memory."""
