"""Programs about search that are run as modules."""
