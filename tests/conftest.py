"""Where pytest finds the shared fixtures; each starts its server only when a test asks for it."""

pytest_plugins = [
    "tests.fixtures.committer",
    "tests.fixtures.installation",
    "tests.fixtures.kafka",
    "tests.fixtures.postgres",
    "tests.fixtures.simulator",
    "tests.fixtures.valkey",
]
