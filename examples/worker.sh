#!/bin/bash
# A worker as the PHP TaskQueue had them: it prints how it stands, and TERM tells it to go.
#
#     taskqueue tender --use-tube mail --worker-protocol tokens \
#         --worker-command "examples/worker.sh 127.0.0.1 11300 ./send-mail"
#
# It takes jobs from beanstalkd and gives each body to a command, on its standard input: 0 deletes the job, anything else
# buries it. The tender sends TERM only between two jobs, so nothing has to be caught. What the command prints must not
# come by our standard output, or it could pose as its worker. It does not touch: a job's TTR must be longer than its
# command. It records nothing: that is what `taskqueue worker` is for.
set -u
exec 3<>"/dev/tcp/$1/$2" || exit
shift 2

ask() {
    printf '%s\r\n' "$*" >&3
    IFS=$' \r' read -r -a answer <&3 || exit
}

body=$(mktemp) || exit
trap 'rm -f "$body"' EXIT
ask watch "$TASKQUEUE_TUBE"
[ "$TASKQUEUE_TUBE" = default ] || ask ignore default
while echo '[[CHILD::READY]]'; do
    ask reserve
    [ "${answer[0]}" = RESERVED ] || continue
    head -c "${answer[2]}" <&3 >"$body"
    read -r <&3
    # If nobody hears it, the tender has died: the job goes back with the connection.
    echo '[[CHILD::BUSY]]' || exit
    if "$@" <"$body" >&2 3>&-; then
        ask delete "${answer[1]}"
    else
        ask bury "${answer[1]}" 1024
    fi
done
