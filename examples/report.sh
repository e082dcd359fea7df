#!/bin/bash
# Says, in a command that a worker runs, how far it is: by the descriptor that TASKQUEUE_REPORT_FD names.
# By hand, where nobody hears it, it does the same work and says nothing.
set -eu

report() {
    [ -z "${TASKQUEUE_REPORT_FD:-}" ] || printf '%s\n' "$1" >&"$TASKQUEUE_REPORT_FD"
}

if [ "${1:-}" = closed ]; then
    report '{"retry_in":"5m","message":"the shop is closed"}'   # not now: that costs no attempt
    exit 0
fi
rows=4
for row in 1 2 3 4; do
    report "{\"progress\":$((row * 100 / rows)),\"message\":\"row $row of $rows\"}"
done
report "{\"result\":{\"rows\":$rows}}"
