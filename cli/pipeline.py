"""Which lag there is to measure: the servers in the settings, and our stages, slots and streams.

The one place where the names of the stages' consumer groups meet the topics they read.
"""

from typing import Final

from lag import LagTargets
from process.settings import Settings
from topics.names import CHARGES, DEAD_LETTERS, PUBLIC_TOPICS, REFUNDS

STAGES: Final = {
    "payments.charge": CHARGES.name,
    "payments.refund": REFUNDS.name,
    "payments.dead-letters": DEAD_LETTERS.name,
}
SLOTS: Final = ("payments_kafka", "payments_redis")


def measured(settings: Settings) -> LagTargets:
    """What a `LagExporter` is given."""
    return LagTargets(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        redis_url=f"redis://{settings.redis.host}:{settings.redis.port}",
        database_host=settings.database.host,
        database_port=settings.database.port,
        database_user=settings.database.user,
        database_password=settings.database.password.get_secret_value(),
        database_name=settings.database.database,
        stages=STAGES,
        slots=SLOTS,
        redis_streams=tuple(topic.name for topic in PUBLIC_TOPICS),
    )
