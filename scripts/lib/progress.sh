# Long commands that say how far they are and do not outlive the script that started them. Sourced by common.sh and by
# scripts/deps, which runs where nothing is installed yet: bash and what every Debian has, no more.
# shellcheck shell=bash

# supervise TICK STOP COMMAND…: runs COMMAND in a process group of its own, its input empty, and TICK about twice a second
# beside it. INT, TERM or HUP to this script: STOP with COMMAND's process and the signal's name, every second until
# COMMAND has ended, then STOP with "end"; and then this script ends. TICK and STOP are command lines, TICK runs in a
# subshell. The exit code is COMMAND's.
supervise() {
  local tick=$1 stop=$2 before signal='' told='' code=0 job ticker
  shift 2
  before=$(trap -p INT TERM HUP)
  # From here until the old traps are back, no $(…) in this shell: bash 5.2 breaks when it runs a trap while it reads
  # one.
  trap 'signal=INT' INT
  trap 'signal=TERM' TERM
  trap 'signal=HUP' HUP
  set -m # a job has its own process group and the default signals; a plain "&" would ignore INT for good
  "$@" </dev/null &
  job=$!
  set +m
  tick_while "$job" "$tick" </dev/null &
  ticker=$!
  while :; do
    if [ -n "$signal" ]; then
      if [ -z "$told" ]; then
        progress_end
        echo "${0##*/}: stopping for SIG$signal" >&2
        told=1
      fi
      $stop "$job" "$signal" 2>/dev/null || true
      sleep 1 || true
    else
      wait "$job" 2>/dev/null && code=0 || code=$?
    fi
    kill -0 "$job" 2>/dev/null || break
  done
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  progress_end
  trap - INT TERM HUP
  eval "$before"
  [ -n "$signal" ] || return "$code"
  $stop "$job" end 2>/dev/null || true
  case $signal in INT) exit 130 ;; TERM) exit 143 ;; *) exit 129 ;; esac
}
tick_while() { # PROCESS TICK; killed at the latest when PROCESS has ended
  local never
  exec {never}<> <(:) # a pause without a process that could be left over
  while kill -0 "$1" 2>/dev/null; do
    read -r -t 0.5 -u "$never" || true
    $2 || true
  done
}

# A value for STOP. A command that cleans up after itself gets the signal. Otherwise all that it started gets TERM,
# because some of it may ignore INT, and nothing of it may be left at the end.
stop_process() { [ "$2" = end ] || kill -s "$2" "$1"; }
stop_group() { if [ "$2" = end ]; then kill -s KILL -- "-$1"; else kill -s TERM -- "-$1"; fi; }

# forward COMMAND…: runs COMMAND in the foreground of this script and passes INT, TERM and HUP on to it.
forward() { supervise : stop_process "$@"; }

# On a terminal one line shows the progress and is rewritten. Elsewhere (a log) a new line comes at every tenth of the
# way and after ten seconds, so that readers never wait longer for a sign of life.
progress_silence=10
progress_begin() {
  progress_started=$SECONDS progress_said=$SECONDS progress_tenth=0 progress_width=''
  if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    { read -r _ progress_width < <(stty size <&3); } 3>&1 2>/dev/null || true
    [ "${progress_width:-0}" -gt 0 ] || progress_width=80
  fi
}

# elapsed: minutes and seconds since progress_begin
elapsed() { printf '%d:%02d' $(((SECONDS - progress_started) / 60)) $(((SECONDS - progress_started) % 60)); }

# progress TEXT [PERCENT]
progress() {
  local line tenth=$((${2:-0} / 10))
  printf -v line '  %s%s, %s' "${2:+$(printf '%3d %%  ' "$2")}" "$1" "$(elapsed)"
  if [ -n "$progress_width" ]; then
    printf '\r%s\033[K' "${line:0:progress_width-1}"
  elif [ "$tenth" -gt "$progress_tenth" ] || [ $((SECONDS - progress_said)) -ge "$progress_silence" ]; then
    echo "$line"
    progress_said=$SECONDS
  fi
  progress_tenth=$tenth
}

# progress_end: takes the line away.
progress_end() { [ -z "${progress_width-}" ] || printf '\r\033[K'; }

# last_step FILE: prints "12 214" for ninja's last "[12/214]" in FILE; nothing before there is one.
last_step() {
  tail -c 16384 "$1" 2>/dev/null | sed -n 's|^\[\([0-9]*\)/\([0-9]*\)\] .*|\1 \2|p' | tail -n 1
}

build_tick() { # FILE
  local built='' all=''
  read -r built all < <(last_step "$1") || true
  if [ "${all:-0}" -gt 0 ]; then
    progress "building: $built of $all steps" $((100 * built / all))
  else
    progress "configuring"
  fi
}

# apt_tick LOG STATUS: LOG is apt-get's output, STATUS the file behind APT::Status-Fd.
apt_tick() {
  local kind='' what='' percent='' text='' megabytes='' spent
  IFS=: read -r kind what percent text < <(tail -n 1 "$2" 2>/dev/null) || true
  percent=${percent%%.*}
  spent=$((SECONDS - progress_started))
  case $kind:$percent in
    dlstatus:[0-9]*)
      megabytes=$(megabytes_to_fetch "$1")
      if [ -n "$megabytes" ]; then
        progress "fetching: $(awk -v p="$percent" -v mb="$megabytes" -v s="$spent" \
          'BEGIN { there = mb * p / 100; printf "%.0f of %.0f MB", there, mb; if (s > 0) printf ", %.1f MB/s", there / s }')" "$percent"
      else # "update" does not know beforehand how much it will be
        progress "fetching"
      fi ;;
    pmstatus:[0-9]*) progress "installing: ${text:-$what}" "$percent" ;;
    *) if grep -q '^Waiting for cache lock' "$1" 2>/dev/null; then
         progress "waiting for another program that installs packages"
       else
         progress "starting"
       fi ;;
  esac
}

# megabytes_to_fetch LOG: apt-get's "Need to get 275 MB of archives." or "Need to get 12 MB/275 MB of archives.", in MB
megabytes_to_fetch() {
  tr -d , <"$1" | awk '/^Need to get / {
    split($5, unit, "/")
    scale["B"] = 1e-6; scale["kB"] = 1e-3; scale["MB"] = 1; scale["GB"] = 1e3
    print $4 * scale[unit[1]]; exit }'
}
