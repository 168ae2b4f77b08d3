/*
 * What stands in for the machine in host tests. Each part is a file of its own in an archive, so a
 * test that compiles the real source (say hv/base/log.c) gets that and not the stand-in.
 */
#ifndef TESTS_UNIT_SUPPORT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_SUPPORT_H

#include <setjmp.h>

#include "hv/base/types.h"

/* log.c: the last line logged; lines go to stderr too when TEST_LOG is set in the environment. */
extern char test_last_log[400];
extern unsigned test_log_count;

/* panic.c: a panic ends the test program, unless it happens inside EXPECT_PANIC. */
extern jmp_buf test_panic_jump;
extern bool test_panic_expected;
extern char test_panic_text[400];

/* Runs the statement; true when it panicked. The sentence is in test_panic_text. */
#define EXPECT_PANIC(statement)                                                                     \
	__extension__({                                                                             \
		volatile bool panicked_ = true;                                                     \
		test_panic_expected = true;                                                         \
		if (setjmp(test_panic_jump) == 0) {                                                 \
			statement;                                                                  \
			panicked_ = false;                                                          \
		}                                                                                   \
		test_panic_expected = false;                                                        \
		panicked_;                                                                          \
	})

/* phys.c: RAM of size bytes at first_hpa, cleared; both page aligned. Ends an earlier arena. */
void test_phys_init(hpa_t first_hpa, uint64_t size);
void test_phys_end(void);
bool test_phys_contains(hpa_t pa, uint64_t size);

/* frame.c: the frame allocator over that arena. frame_alloc fails after this many more frames. */
extern uint64_t test_frames_left;
uint64_t test_frames_used(void); /* frames handed out and not freed */

#endif
