pytest_plugins = ["harness.databases", "harness.fixtures", "harness.temporal"]
