"""THE boundary: the only place that reads and writes SpatialData."""
