# Two vCPUs as threads: tests/guests/debugged.c, whose second CPU counts for ever.
set pagination off
set confirm off
set remotetimeout 120
target remote 192.0.2.50:1234
info threads
hbreak sequence
set var *(unsigned long *)&go = 1
continue
delete
set $here = $pc
set $count = *(unsigned long *)&other_count
thread 2
set scheduler-locking on
stepi 8
print *(unsigned long *)&other_count > $count
set $loop = $pc
set scheduler-locking off
thread 1
print $pc == $here
tbreak *$loop
continue
delete
watch *(unsigned long *)&watched
continue
delete
break check_registers
continue
info threads
set var *(unsigned long *)&go = 2
detach
