pytest_plugins = [
    "harness.azurite",
    "harness.databases",
    "harness.embedders",
    "harness.fixtures",
    "harness.order",
    "harness.redis",
    "harness.rate_limiters",
    "harness.storage",
    "harness.temporal",
    "harness.tool_sources",
    "harness.turns",
    "harness.vector_indexes",
]
