"""Where pytest finds the shared fixtures; each starts its server only when a test asks for it."""

import os

from tests.support.environment import NO_ENV_FILE

# For this process and all that it starts.
os.environ.update(NO_ENV_FILE)

pytest_plugins = [
    "tests.support.fixtures.committer",
    "tests.support.fixtures.installation",
    "tests.support.fixtures.kafka",
    "tests.support.fixtures.postgres",
    "tests.support.fixtures.secured_kafka",
    "tests.support.fixtures.simulator",
    "tests.support.fixtures.valkey",
]
