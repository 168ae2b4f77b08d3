/*
 * The other CPUs of a tiny guest: started by the wakeup mailbox when there is one, else by INIT and
 * start-up IPI; then waiting for work.
 */
#ifndef TESTS_GUESTS_LIB_SMP_H
#define TESTS_GUESTS_LIB_SMP_H

#include "hv/base/types.h"

#define SMP_MAX_CPUS 16
#define SMP_WAKE_VECTOR 0xfc

#define MAILBOX_WAKEUP 1
#define MAILBOX_TEST 2

typedef void (*smp_fn)(void *arg);

struct smp_cpu {
	uint32_t apic_id;
	volatile uint32_t online; /* it is in its waiting loop, or in work */
	volatile uint32_t done;   /* pieces of work finished */
	smp_fn volatile fn;
	void *volatile arg;
	uint8_t *stack;
};

extern struct smp_cpu smp_cpus[SMP_MAX_CPUS]; /* [0] is the first CPU */
extern unsigned smp_count;                    /* CPUs that came, the first included */

/* Starts the CPUs with APIC ids 1..total-1, one at a time; the local APIC must be on. */
void smp_start(unsigned total);
/* Gives a command to the wakeup mailbox, which there must be; false when it was not taken in a second. */
bool smp_mailbox_send(unsigned index, uint16_t command);
/* One CPU again, after an INIT put it to sleep or it went back to the mailbox; true when it came. */
bool smp_start_one(unsigned index);
/* Gives CPU `index` work (it must be idle) and wakes it. */
void smp_run(unsigned index, smp_fn fn, void *arg);
/* Waits for it; false after so many microseconds. */
bool smp_wait(unsigned index, uint64_t us);

#endif
