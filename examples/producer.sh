#!/usr/bin/env bash
# Puts one job into beanstalkd and prints its number, with nothing but bash. BEANSTALKD=host:port names another
# server. What a body may hold: taskqueue-payload(7). Where taskqueue is installed, there is `taskqueue put`.
set -u
LC_ALL=C    # ${#body} is to count bytes

fail() {
    echo "nothing was put: $1" >&2
    exit 1
}

# As it stands: $5 is no variable here. What comes from elsewhere has to become JSON first, as jq does it.
read -r body <<'JSON'
{"taskqueue":1,"command":"invoice:send","arguments":["12"],"options":{"format":"pdf","copy":true,"note":"it's \"net\" & $5"}}
JSON

server=${BEANSTALKD:-127.0.0.1:11300}
host=${server%:*}
host=${host#[}
{ exec 3<>"/dev/tcp/${host%]}/${server##*:}"; } 2>/dev/null || fail "cannot reach beanstalkd at $server"

# Priority 1024, no delay, a TTR of 60 s: workers touch their jobs, so that this bounds nothing.
printf 'use invoices\r\nput 1024 0 60 %d\r\n%s\r\n' "${#body}" "$body" >&3
read -r -t 5 -u 3 using || fail "beanstalkd at $server did not answer"
read -r -t 5 -u 3 word id || fail "beanstalkd at $server did not answer"
case ${word%$'\r'} in
    INSERTED) echo "${id%$'\r'}" ;;
    JOB_TOO_BIG) fail 'JOB_TOO_BIG: beanstalkd takes larger ones with -z' ;;
    DRAINING) fail 'DRAINING: beanstalkd takes no new jobs; try another, or later' ;;
    *) fail "beanstalkd answered ${using%$'\r'}, ${word%$'\r'}" ;;
esac
