"""All that stages import only when they need it, for whoever imports it once for all of them.

A stage alone does without what others use; forks of one interpreter (`local/fork_server.py`) share
it. Of Faust it is what an app imports as it is made and started.
"""

# ruff: noqa: F401 - that they are imported is the use of it
import aiobreaker.storage.memory
import faust.app.base
import faust.app.router
import faust.assignor.leader_assignor
import faust.events
import faust.fixups.django
import faust.tables.manager
import faust.tables.sets
import faust.topics
import faust.transport.drivers.aiokafka
import faust.transport.utils
import faust.worker

import agents.consumer.app
import agents.consumer.leaving
import agents.consumer.membership
import agents.provider_work.calls
import agents.provider_work.claims
import agents.provider_work.locks
import agents.provider_work.provider_stage
import providers.protected
