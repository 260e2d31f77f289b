#!/usr/bin/env bash
# run.sh PROGRAM CHECK clean|leaks: runs one check under valgrind; "leaks" demands that valgrind reports something.
set -u
program=$1 check=$2 wanted=$3
here=$(dirname "$0")
command -v valgrind >/dev/null || { echo "skipped: valgrind is missing; install it: scripts/deps test"; exit 77; }
case $check in # suppressions by check, see README.md
  password) suppressions=(--suppressions="$here/libsodium.supp") ;;
  key_transport)
    suppressions=(--suppressions="$here/libcrypto.supp")
    key=$(mktemp)
    trap 'rm -f "$key"' EXIT
    "$program" make_key "$key" || exit 1
    ;;
  *) suppressions=() ;;
esac
valgrind --quiet --error-exitcode=99 --num-callers=30 "${suppressions[@]}" "$program" "$check" "${key-}"
code=$?
case $wanted:$code in
  clean:0) echo "$check: no branch and no address depends on the secrets" ;;
  clean:99) echo "$check: depends on a secret, see above"; exit 1 ;;
  leaks:99) echo "$check: reported, as it must be" ;;
  leaks:0) echo "$check: leaks on purpose, and nothing was reported: these checks cannot be trusted"; exit 1 ;;
  *:77) echo "skipped: the program was built without valgrind's header; install it: scripts/deps test"; exit 77 ;;
  *) echo "$check: ended with code $code"; exit 1 ;;
esac
