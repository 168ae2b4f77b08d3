# What a user of gdb does at a Linux guest without its symbols. tests/boot/gdb_linux.py gives $function, where the system
# call uname() begins, whose argument is the caller's registers, and looks at what is printed.
info threads
hbreak *$function
continue
print $pc == $function
x/3i $pc
set $caller = *(unsigned long *)$rsp
set $regs = $rdi
stepi
print $pc > $function && $pc < $function + 16
stepi 2
info registers rip rsp cr3
delete
break *$caller
continue
print $pc == $caller && $rax == 0
x/s *(char **)($regs + 112)
x/2i $pc
delete
watch *(long *)($regs + 80)
continue
print $pc > $caller
delete
stepi 20
info registers rip
detach
