"""The relays that people write by hand, as programs: `python -m benchmarks.relays.NAME PROVIDER_URL PORT`."""
