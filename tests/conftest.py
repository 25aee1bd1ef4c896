pytest_plugins = [
    "harness.databases",
    "harness.embedders",
    "harness.fixtures",
    "harness.redis",
    "harness.rate_limiters",
    "harness.temporal",
    "harness.tool_sources",
    "harness.vector_indexes",
]
