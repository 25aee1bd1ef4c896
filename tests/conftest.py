pytest_plugins = [
    "harness.databases",
    "harness.fixtures",
    "harness.order",
    "harness.redis",
    "harness.rate_limiters",
    "harness.temporal",
    "harness.tool_sources",
    "harness.turns",
]
