/*
 * Between the files of the provoking build.
 */
#ifndef TESTS_BOOT_PROVOKE_PROVOKE_H
#define TESTS_BOOT_PROVOKE_PROVOKE_H

#include "hv/base/types.h"

/* ---- enter.S ---- */
/* Enters the guest of the current VMCS: 0 when a VM exit came back, 1 when VMLAUNCH failed. */
int provoke_launch(void);
extern const char provoke_exit_stub[];

/* ---- launch.c ---- */
/* Keeps what this CPU has now: the host state. */
void provoke_host_init(void);
void provoke_host_state(void (*set)(uint32_t field, uint64_t value));

enum outcome { ENTERED, REFUSED_BY_VMFAIL, REFUSED_BY_EXIT };
/* Enters, and says in words what the CPU did. */
enum outcome provoke_enter(char *how, size_t size);

/* ---- provoke.c; the linker (--wrap) makes hv_main call the first for monitor_init ---- */
void provoke_then_monitor(void) __asm__("__wrap_monitor_init");
void shipped_monitor_init(void) __asm__("__real_monitor_init");

#endif
