# Shared by scripts/demo, scripts/test, scripts/bench and .ci/run; sourced, from the project's root.
# shellcheck shell=bash
# shellcheck source=scripts/lib/progress.sh
. scripts/lib/progress.sh

fail() { echo "${0##*/}: $*" >&2; exit 1; }

phases=() # "seconds what" of every phase so far, for the table at the end

# phase WHAT COMMAND…: prints WHAT, runs the command, records how long it took; a failure ends the script.
phase() {
  local what=$1 started=$SECONDS
  shift
  echo "== $what"
  if ! "$@" </dev/null; then
    fail "$what: failed after $((SECONDS - started)) s (command: $*)"
  fi
  phases+=("$(printf '%5d s  %s' $((SECONDS - started)) "$what")")
  # For a script above that compares the phases of several scripts with their budgets.
  [ -z "${SEALCAST_PHASES-}" ] || printf '%d\t%s\n' $((SECONDS - started)) "$what" >>"$SEALCAST_PHASES"
}
phase_times() { printf '%s\n' "${phases[@]}"; }

# build PRESET [TARGET…]: configures if needed, builds, and shows the progress. The tools' output goes to
# build/PRESET.log; its end is shown when they fail.
build() {
  local log=build/$1.log code=0 steps
  mkdir -p build
  progress_begin
  supervise "build_tick $log" stop_group configure_and_build "$log" "$@" || code=$?
  if [ "$code" -ne 0 ]; then
    tail -n 60 "$log" >&2
    echo "(the whole output: $log)" >&2
    return "$code"
  fi
  steps=$(last_step "$log")
  if [ -n "$steps" ]; then
    echo "  ${steps#* } steps in $(elapsed)"
  else
    echo "  up to date"
  fi
}
configure_and_build() { # LOG PRESET [TARGET…]
  local log=$1 preset=$2
  shift 2
  { cmake --preset "$preset" && NINJA_STATUS='[%f/%t] ' cmake --build --preset "$preset" -- "$@"; } >"$log" 2>&1
}

hugepages_file=/proc/sys/vm/nr_hugepages
hugepages_before=
# reserve_hugepages COUNT: makes sure COUNT 2 MB pages are free. The data plane maps them itself; no mount is needed.
reserve_hugepages() {
  local want=$1 have free
  [ -r /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages ] || fail "this kernel offers no 2 MB hugepages"
  have=$(</sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)
  free=$(</sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)
  [ "$free" -ge "$want" ] && return
  [ -w "$hugepages_file" ] || fail "$want free 2 MB hugepages are needed, $free are free; run as root, or: sysctl vm.nr_hugepages=$((have + want - free))"
  hugepages_before=$have
  echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
  echo 1 >/proc/sys/vm/compact_memory 2>/dev/null || true
  echo $((have + want - free)) >"$hugepages_file"
  free=$(</sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)
  [ "$free" -ge "$want" ] || fail "$want free 2 MB hugepages are needed, the kernel could give $free; free some memory and try again"
}
# restore_hugepages: gives back what reserve_hugepages added, unless another process uses or changed it meanwhile.
restore_hugepages() {
  [ -n "$hugepages_before" ] || return 0
  local total free
  total=$(</sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)
  free=$(</sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)
  if [ $((total - free)) -le "$hugepages_before" ]; then
    echo "$hugepages_before" >"$hugepages_file"
  fi
  hugepages_before=
}
