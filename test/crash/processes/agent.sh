#!/bin/sh
# One attempt of a task, as its agent: agent.sh LOG. Says when it starts and when it has ended; what it does goes by the task's name.
log=$1
id=$NOFX_TASK_ID
# An attempt that still works when the next one starts is work done twice at once.
for pid in $(sed -n "s/^start $id [0-9.]* //p" "$log"); do
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q 'agent\.sh' && echo "overlap $id $pid" >>"$log"
done
echo "start $id $NOFX_TASK_RUN.$NOFX_TASK_ATTEMPT $$" >>"$log"
case $id in
  slow-*) sleep 0.8 ;;
  # Left behind, in a session of its own.
  litter-*) setsid sleep 1000 & ;;
  flaky-*) [ "$(grep -c "^start $id " "$log")" -gt 1 ] || kill -SEGV $$ ;;
  broken-*) kill -SEGV $$ ;;
  *) sleep 0.1 ;;
esac
echo "end $id $NOFX_TASK_RUN.$NOFX_TASK_ATTEMPT" >>"$log"
