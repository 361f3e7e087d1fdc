#!/bin/sh
# Ends processes whose parent was killed before it could end them. The parent holds our standard input and tells us
# "watch <pid> <signal>" and "forget <pid>"; when it closes, by SIGKILL too, we signal whom we still watch. A shell is on
# Linux and macOS alike and weighs about a megabyte.

watched=''
while read -r verb pid signal; do
  if [ "$verb" = watch ]; then
    watched="$watched $pid:$signal"
    continue
  fi
  kept=''
  for entry in $watched; do
    [ "${entry%%:*}" = "$pid" ] || kept="$kept $entry"
  done
  watched="$kept"
done

for entry in $watched; do
  kill -s "${entry#*:}" "${entry%%:*}" 2>/dev/null
done
