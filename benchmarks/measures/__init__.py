"""One module for each measure: `async def measure(bench) -> Rows`, in the units that the metrics' names say."""
