/*
 * Privileged instructions in host tests: the code under test executes them, the host's kernel refuses,
 * and the signal handler carries them out on what the test provides.
 */
#ifndef TESTS_UNIT_SUPPORT_MACHINE_H
#define TESTS_UNIT_SUPPORT_MACHINE_H

#include <setjmp.h>

#include "hv/base/types.h"

struct test_machine {
	/* NULL: the instruction ends the test program. */
	uint64_t (*rdmsr)(uint32_t msr);
	void (*wrmsr)(uint32_t msr, uint64_t value);
	uint32_t (*in)(uint16_t port, unsigned size);
	void (*out)(uint16_t port, unsigned size, uint32_t value);
	uint64_t *cr2;
};

/* Takes SIGSEGV from now on, in the test itself, as cmocka takes it before each. CLI and STI do nothing. */
void test_machine_start(const struct test_machine *m);

/* Runs the statement, which never comes back but by LIDT or HLT: the machine's end. 'l' or 'h'. */
extern sigjmp_buf test_machine_end;
#define UNTIL_MACHINE_ENDS(statement)                                                               \
	__extension__({                                                                             \
		volatile int end_ = sigsetjmp(test_machine_end, 1);                                 \
		if (end_ == 0) {                                                                    \
			statement;                                                                  \
		}                                                                                   \
		end_;                                                                               \
	})

#endif
