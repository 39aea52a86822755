"""Where pytest finds the shared fixtures; each starts its server only when a test asks for it."""

pytest_plugins = [
    "tests.support.fixtures.committer",
    "tests.support.fixtures.installation",
    "tests.support.fixtures.kafka",
    "tests.support.fixtures.postgres",
    "tests.support.fixtures.simulator",
    "tests.support.fixtures.valkey",
]
