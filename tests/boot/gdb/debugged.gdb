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
tbreak system_code
continue
stepi 3
print $pc == (unsigned long)&at_sti
stepi 2
x/i $pc
stepi 2
print $pc == (unsigned long)&at_fault
stepi
print $pc != (unsigned long)&at_fault && *(unsigned long *)($rsp + 8) == (unsigned long)&at_fault
tbreak at_fresh
continue
while $pc == (unsigned long)&at_fresh
stepi
end
print *(unsigned *)&fresh
tbreak at_iret
continue
stepi
print $pc == (unsigned long)&at_return
delete
watch *(unsigned long *)&watched
continue
print *(unsigned long *)&watched
delete
rwatch *(unsigned long *)&watched
continue
delete
awatch *(unsigned long *)&pushed_flags
continue
delete
set var *(unsigned long *)&go = 0
break check_registers
continue
backtrace
set var *(unsigned long *)&go = 2
detach
