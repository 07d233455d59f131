#!/usr/bin/env bash
# Prints the path of khumbu: KHUMBU itself, if it is a program, or what `cargo install --locked` makes of it, if it is flags.
set -euo pipefail

if [[ ${KHUMBU-} == -* ]]; then
    read -ra source <<<"$KHUMBU"
    cargo install --locked --root "$RUNNER_TEMP/khumbu" "${source[@]}" >&2
    khumbu=$RUNNER_TEMP/khumbu/bin/khumbu
elif [[ -f ${KHUMBU-} && -x $KHUMBU ]]; then
    khumbu=$(realpath "$KHUMBU")
else
    echo "::error title=khumbu::\`${KHUMBU-}\` is no program; name a binary, or flags of cargo install such as --git URL" >&2
    exit 2
fi
"$khumbu" --version >&2
printf '%s\n' "$khumbu"
