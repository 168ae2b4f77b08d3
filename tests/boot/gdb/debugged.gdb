# What a user of gdb does, at tests/guests/debugged.c; what it prints is looked at by tests/boot/cases/gdb.py.
set pagination off
set confirm off
set remotetimeout 60
target remote 192.0.2.50:1234
info threads
hbreak sequence
set var *(unsigned long *)&go = 1
continue
delete
break at_ud2
stepi
stepi
print/x $pc
continue
x/i $pc
stepi
print/x $pc != (unsigned long)&at_ud2
break at_shadow
continue
stepi
stepi
x/i $pc
print/x $cr0 & 0x80000001
delete
watch *(unsigned long *)&watched
continue
print *(unsigned long *)&watched
delete
set var *(unsigned long *)&go = 0
break check_registers
continue
backtrace
set var *(unsigned long *)&go = 2
detach
