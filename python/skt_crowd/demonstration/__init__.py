"""What the transfer is worth, shown on drawn crowds: many runs, one table, no data needed."""
