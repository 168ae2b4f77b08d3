/*
 * One of Intel's gigabit cards behind tests/unit/fake_pci.h: registers with their side effects, descriptors
 * in the arena of support/phys.c, and the faults that a test asks for.
 */
#ifndef TESTS_UNIT_FAKE_E1000_H
#define TESTS_UNIT_FAKE_E1000_H

#include "drivers/e1000.h"
#include "tests/unit/fake_pci.h"

#define FAKE_CARD_BASE 0xfeb00000ul
#define FAKE_TABLE_BASE 0xfeb80000ul /* the MSI-X table */
#define FAKE_CARD (3u << 3)          /* 00:03.0 */
#define FAKE_SENT 64
#define FAKE_GOOD (E1000_DESC_DONE | E1000_DESC_END) /* a frame as it should be */

struct fake_e1000 {
	bool express, link, msix_works, msi_works, intx_works;
	bool absent;         /* all ones */
	bool reset_hangs, nvm_hangs, eeprom_hangs, sender_hangs, master_hangs, no_ral;
	bool storms;         /* the line is asserted whatever the card does */
	uint32_t status_speed;
	uint8_t mac[6];
	uint32_t regs[E1000_REGISTERS / 4];
	uint32_t resets, accesses, rdt_writes;
	uint8_t sent[FAKE_SENT][E1000_BUFFER];
	uint16_t sent_len[FAKE_SENT];
	uint32_t sent_count;
	bool pending;        /* the vector waits in the local APIC */
	bool line_masked;
	uint32_t notified;
	uint32_t table[20];
	bool dma_passes;     /* VT-d was told to let it */
};

extern struct fake_e1000 fake;
extern void (*fake_handler)(void);

/* A card on a bus of its own, everything in order; also the arena, and a TSC of 1 GHz. */
struct fake_function *fake_e1000_begin(bool express);
/* cmocka's tear-down. */
int fake_e1000_end(void **state);
/* Its driver starts, and serves the interrupt that it provoked. */
struct nic *fake_e1000_start(struct failure *f);
/* Lets so much of the TSC's time pass. */
void fake_e1000_wait_ms(uint64_t ms);
/* The card got a frame: false when it had no descriptor. status and errors as in the descriptor; lie: the length
 * that the descriptor tells, 0: the frame's. */
bool fake_e1000_frame(const void *frame, uint16_t len, uint8_t status, uint8_t errors, uint16_t lie);
void fake_e1000_cause(uint32_t causes);
/* Takes the pending interrupt, if any; true when there was one. */
bool fake_e1000_interrupt(void);
void fake_e1000_notify(void);
/* The sender goes on after it hung. */
void fake_e1000_send_all(void);

#endif
