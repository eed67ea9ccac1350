#!/bin/sh
# Run one step in the base environment, wherever that is: step.sh NAME ARGUMENTS...
root=$(cd "$(dirname "$0")/../../.." && pwd) || exit 69
envs=${TILEWRIGHT_ENVS:-${TILEWRIGHT_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tilewright}/envs}
base=$envs/base
if [ ! -e "$base" ]; then
    sum=$(cat "$root/envs/base.yml" "$root/envs/base.txt" | { sha256sum 2>/dev/null || shasum -a 256; })
    base=$base-$(printf %.12s "$sum")
    # The first step runs where there is a network; the launcher finds a Python that is new enough.
    [ -e "$base/.tilewright-ready" ] || [ "$1" != plan ] ||
        "$root/tilewright" environments build base --env_root "$envs" >&2 || exit
    [ -e "$base/.tilewright-ready" ] || base=
fi
[ -n "$base" ] && [ -x "$base/bin/python" ] || { # one sentence, as the package would say it
    echo "tilewright: The base environment isn't in $envs. Build it: '$root/tilewright' environments build base" >&2; exit 69; }
[ "$1" = fetch ] || unset HF_TOKEN HUGGING_FACE_HUB_TOKEN # no other step has use for a token
export PYTHONPATH="$root/src" PYTHONNOUSERSITE=1; unset PYTHONHOME VIRTUAL_ENV
[ "$1" != plan ] || "$base/bin/python" -I -S "$root/src/tilewright/environments/bytecode.py" "$root/src"
exec "$base/bin/python" -P -m tilewright.steps."$@"
