"""Everything on one machine with nothing configured: the gateway here, the embedded model in a process beside it."""
