#!/bin/bash
# Posts an event to a URL: a hook for [hooks], with curl and openssl.
#
#   [hooks]
#   on_failed = ["/etc/taskqueue/webhook.sh", "--url", "https://example.org/taskqueue", "--secret-file", "/etc/taskqueue/secret"]
#
# The body is the event's JSON. X-Taskqueue-Timestamp has the time in seconds, X-Taskqueue-Signature is
# "sha256=" and the HMAC-SHA256 of TIMESTAMP.BODY by the secret, in hex: whoever checks it refuses old timestamps too.
# Exits with 0 for an answer of 2xx, with 65 (never again) for one of 4xx but 408 and 429, else with 75 (try again).
# No redirect is followed. An address that is not public is refused, and the one that was looked at is connected to.
set -u
fail() { echo "webhook: $2" >&2; exit "$1"; }

url='' secret_file='' timeout=10 private=no
while [ $# -gt 0 ]; do
  case $1 in
    --url) url=${2-}; shift 2 ;;
    --secret-file) secret_file=${2-}; shift 2 ;;
    --timeout) timeout=${2-}; timeout=${timeout%s}; shift 2 ;;
    --allow-private) private=yes; shift ;;
    *) fail 65 "does not know $1" ;;
  esac
done

# Scheme, host and port; whoever is in front of an @ could pose as the host.
[[ $url =~ ^(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}))?(/[^[:space:]]*)?$ ]] ||
  fail 65 "--url is no http or https URL: '$url'"
scheme=${BASH_REMATCH[1]} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]}
[ -n "$port" ] || { [ "$scheme" = https ] && port=443 || port=80; }

is_public() {
  local a b c groups
  case $1 in
    *:*)
      # Only what is given out to the public (2000::/3), less documentation, and tunnels that hold other addresses.
      [[ $1 =~ ^[23][0-9A-Fa-f]{3}: ]] || return 1
      groups=$(tr A-F a-f <<< "$1")
      case $groups in 2001:db8:* | 2001:0:* | 2001::* | 2002:* | 3fff:*) return 1 ;; esac ;;
    *)
      IFS=. read -r a b c _ <<< "$1"
      case $a in 0 | 10 | 127) return 1 ;; esac
      [ "$a" -ge 224 ] && return 1
      case $a.$b in 169.254 | 192.168 | 198.18 | 198.19) return 1 ;; esac
      case $a.$b.$c in 192.0.0 | 192.0.2 | 198.51.100 | 203.0.113) return 1 ;; esac
      [ "$a" = 172 ] && [ "$b" -ge 16 ] && [ "$b" -le 31 ] && return 1
      [ "$a" = 100 ] && [ "$b" -ge 64 ] && [ "$b" -le 127 ] && return 1 ;;
  esac
  return 0
}

name=${host#[} name=${name%]}
address=''
while read -r found _; do
  if [ $private = yes ] || is_public "$found"; then address=$found; break; fi
  refused=$found
done < <(getent ahosts "$name")
if [ -z "$address" ]; then
  [ -n "${refused-}" ] && fail 65 "$name is $refused, which is not public; --allow-private allows it"
  fail 75 "cannot look $name up"
fi
case $address in *:*) address="[$address]" ;; esac

work=$(mktemp -d) || fail 75 "has no folder to write to"
trap 'rm -rf "$work"' EXIT
cat > "$work/body"
timestamp=$(date +%s)
headers=(-H 'Content-Type: application/json' -H 'Expect:' -H "X-Taskqueue-Timestamp: $timestamp"
  -H "X-Taskqueue-Event: ${TASKQUEUE_EVENT-}" -H "X-Taskqueue-Number: ${TASKQUEUE_EVENT_NUMBER-}")
if [ -n "$secret_file" ]; then
  # In hex, and read from a file: an argument could be seen by others.
  [ -s "$secret_file" ] || fail 75 "cannot read $secret_file, or nothing is in it"
  { printf %s. "$timestamp"; cat "$work/body"; } > "$work/signed"
  # HMAC by its definition, so that the secret stands in no argument.
  sum() { openssl dgst -sha256 -binary; }
  key=$(tr -d '\r\n' < "$secret_file" | od -An -v -tx1 | tr -d ' \n')
  [ ${#key} -le 128 ] || key=$(tr -d '\r\n' < "$secret_file" | sum | od -An -v -tx1 | tr -d ' \n')
  while [ ${#key} -lt 128 ]; do key+=00; done
  padded() { local i; for ((i = 0; i < 128; i += 2)); do printf "\\x$(printf %02x $((16#${key:i:2} ^ $1)))"; done; }
  signature=$({ padded 0x5c; { padded 0x36; cat "$work/signed"; } | sum; } | sum | od -An -v -tx1 | tr -d ' \n')
  headers+=(-H "X-Taskqueue-Signature: sha256=$signature")
fi

code=$(curl --silent --show-error --noproxy '*' --proto '=http,https' --max-redirs 0 --max-time "$timeout" \
  --max-filesize 65536 --resolve "$name:$port:$address" -o /dev/null -w '%{http_code}' \
  "${headers[@]}" --data-binary @"$work/body" -- "$url")
ended=$?
case $code in
  2??) echo "webhook: $code"; exit 0 ;;
  408 | 429) fail 75 "was answered $code" ;;
  4??) fail 65 "was answered $code" ;;
  000) fail 75 "got no answer (curl $ended)" ;;
  *) fail 75 "was answered $code" ;;
esac
