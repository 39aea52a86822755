"""Follow payments with `topics.subscribe`: python docs/examples/subscribe.py localhost:9092 mail.

At least once, in order per payment. A message is committed after the loop's body has come to its
end; one that is not ours, or a gap that retention left, is reported and ends nothing.
"""

import asyncio
import json
import sys
from contextlib import aclosing

from topics.subscribe import Foreign, Gap, subscribe_kafka


def report(what: Foreign | Gap) -> None:
    print(f"attention: {what}", file=sys.stderr)


async def main(bootstrap_servers: str, group: str) -> None:
    subscription = subscribe_kafka(
        bootstrap_servers, ["payments.events"], group=group, report=report
    )
    # Closed at the end, whatever ends it: what was done is committed then.
    async with aclosing(subscription) as messages:
        async for message in messages:
            payment = json.loads(message.value)["payment"]
            print(message.sequence, message.type, payment["id"], payment["amount"], flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
