pytest_plugins = [
    "harness.databases",
    "harness.fixtures",
    "harness.redis",
    "harness.rate_limiters",
    "harness.storage",
    "harness.temporal",
    "harness.tool_sources",
]
