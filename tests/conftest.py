"""Where pytest finds the shared fixtures; each starts its server only when a test asks for it."""

from tests.support.environment import settle

settle()

pytest_plugins = [
    "tests.support.fixtures.committer",
    "tests.support.fixtures.installation",
    "tests.support.fixtures.kafka",
    "tests.support.fixtures.logs",
    "tests.support.fixtures.postgres",
    "tests.support.fixtures.redis_cluster",
    "tests.support.fixtures.secured_kafka",
    "tests.support.fixtures.simulator",
    "tests.support.fixtures.valkey",
    "tests.support.side_by_side",
    "tests.support.time_limits",
]
