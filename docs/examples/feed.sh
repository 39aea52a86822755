#!/bin/sh
# A consumer of the feed made of curl: every event once, in order, also after it was ended.
#   API=http://localhost:8080 KEY=pk_... ./feed.sh [once]
# `cursor` is kept beside it only when what it is about was done. "once" ends it at the feed's end.
set -eu

ask() {
    curl --silent --show-error --fail-with-body --retry 5 ${KEY:+--oauth2-bearer "$KEY"} \
        "$API/api/v1/events?limit=100${1:+&cursor=$1}"
}

cursor=$(cat cursor 2>/dev/null || true)
while page=$(ask "$cursor"); do
    # Here is what is to be done: this one prints a line an event.
    printf '%s' "$page" | python3 -c 'import json, sys
for event in json.load(sys.stdin)["data"]:
    payment = event["data"]["payment"]
    print(event["type"], event["sequence"], payment["id"], payment["amount"], flush=True)'
    cursor=$(printf '%s' "$page" | sed 's/.*"next_cursor":"\([^"]*\)".*/\1/')
    printf '%s' "$cursor" > cursor
    case $page in
        *'"has_more":true}') ;;
        *) [ "${1:-}" != once ] || exit 0; sleep 1 ;;
    esac
done
printf '%s\n' "$page" >&2 # 410: what comes after the cursor is gone; remove the file to begin again
exit 1
