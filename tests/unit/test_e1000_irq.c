/* sources: drivers/nic.c drivers/e1000.c drivers/e1000_ring.c drivers/e1000_irq.c drivers/pci.c drivers/pci_bar.c drivers/pci_msi.c hv/base/failure.c hv/base/format.c tests/unit/fake_pci.c tests/unit/fake_e1000.c */
/*
 * How Intel's gigabit cards interrupt, on a card of the test's own: each way where the better ones do not work,
 * interrupts that get lost, lines that storm.
 */
#include "drivers/e1000.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "tests/unit/fake_e1000.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

static struct failure why;
static uint8_t frame[NIC_FRAME_MAX];

static struct nic *start(bool express)
{
	fake_e1000_begin(express);
	return fake_e1000_start(&why);
}

static void interrupts_that_do_not_arrive(void **state)
{
	struct fake_function *f;
	struct nic *n;

	(void)state;
	fake_e1000_begin(true);
	fake.msix_works = false;
	assert_int_equal(nic_start(NIC_ANY, fake_e1000_notify, &why)->irq, NIC_IRQ_MSI);
	fake_e1000_begin(true);
	fake.msix_works = fake.msi_works = false;
	assert_int_equal(nic_start(NIC_ANY, fake_e1000_notify, &why)->irq, NIC_IRQ_INTX);
	fake_e1000_begin(true);
	fake.msix_works = fake.msi_works = fake.intx_works = false;
	n = nic_start(NIC_ANY, fake_e1000_notify, &why);
	assert_int_equal(n->irq, NIC_IRQ_POLL);
	assert_int_equal(n->poll_ms, NIC_POLL_MS);
	assert_non_null(strstr(test_last_log, "polled"));
	assert_int_equal(fake.regs[E1000_IMS / 4], 0);
	assert_true(fake.line_masked);
	f = fake_e1000_begin(false);
	f->config[PCI_INTERRUPT / 4] = 0x1ff; /* firmware gave it no line */
	assert_int_equal(nic_start(NIC_ANY, fake_e1000_notify, &why)->irq, NIC_IRQ_POLL);
	fake_e1000_begin(false);
	fake.storms = true; /* another device holds the line */
	assert_int_equal(nic_start(NIC_ANY, fake_e1000_notify, &why)->irq, NIC_IRQ_POLL);
	assert_true(fake.line_masked);
}

static void polling_works(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	struct nic *n;

	(void)state;
	fake_e1000_begin(false);
	fake.intx_works = false;
	n = nic_start(NIC_ANY, fake_e1000_notify, &why);
	fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
	n->service(n);
	assert_int_equal(n->receive(n, got, sizeof(got)), 60);
	assert_int_equal(n->receive(n, got, sizeof(got)), 0);
	assert_int_equal(fake.notified, 0);
}

static void lost_interrupts_lead_to_polling(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	struct nic *n;

	(void)state;
	n = start(false);
	for (unsigned i = 0; i < 7; i++) {
		fake.intx_works = i == 4;
		fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		fake_e1000_interrupt(); /* one does arrive: the count begins anew */
		fake_e1000_wait_ms(11);
		n->service(n);
		assert_int_equal(n->receive(n, got, sizeof(got)), 60);
	}
	for (unsigned i = 0; i < 20; i++) { /* in quick succession: it may be on its way */
		fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		n->service(n);
		assert_int_equal(n->receive(n, got, sizeof(got)), 60);
	}
	assert_int_equal(n->irq, NIC_IRQ_INTX);
	for (unsigned i = 0; i < 8; i++) {
		fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		fake_e1000_wait_ms(11);
		n->service(n);
		assert_int_equal(n->receive(n, got, sizeof(got)), 60);
	}
	assert_int_equal(n->irq, NIC_IRQ_POLL);
	assert_int_equal(n->poll_ms, NIC_POLL_MS);
	assert_non_null(strstr(test_last_log, "INTx interrupts do not"));
}

static void a_storm_on_the_line_ends(void **state)
{
	struct nic *n;
	unsigned taken = 0;

	(void)state;
	n = start(false);
	fake.storms = true;
	fake_e1000_cause(0);
	while (fake_e1000_interrupt())
		assert_in_range(++taken, 1, 2000);
	assert_int_equal(fake.notified, 1);
	n->service(n);
	assert_int_equal(n->irq, NIC_IRQ_POLL);
	assert_non_null(strstr(test_last_log, "storms"));
	/* Interrupts of a device on the same line now and then are no storm. */
	n = start(false);
	for (unsigned i = 0; i < 3000; i++) {
		fake_handler();
		if (i % 500 == 0) {
			fake_e1000_cause(E1000_RECEIVED);
			fake_e1000_interrupt();
			n->service(n);
		}
	}
	assert_int_equal(n->irq, NIC_IRQ_INTX);
}

/* A frame that comes while others are looked at interrupts no second time, but none is forgotten. */
static void no_frame_is_forgotten(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	uint64_t random = 11;
	struct nic *n = start(false);

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned waiting = 0;

		if (round == 1000)
			n = start(true);
		for (unsigned i = test_random(&random) % 4; i; i--)
			waiting += fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		fake_e1000_interrupt();
		if (test_random(&random) % 2)
			waiting += fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		n->service(n);
		if (test_random(&random) % 2)
			waiting += fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0);
		while (n->receive(n, got, sizeof(got)))
			waiting--;
		assert_int_equal(waiting, 0);
		assert_true(fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0));
		assert_true(fake.pending);
		fake.notified = 0;
		fake_e1000_interrupt();
		assert_int_equal(fake.notified, 1);
		n->service(n);
		assert_int_equal(n->receive(n, got, sizeof(got)), 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(interrupts_that_do_not_arrive, fake_e1000_end),
		cmocka_unit_test_teardown(polling_works, fake_e1000_end),
		cmocka_unit_test_teardown(lost_interrupts_lead_to_polling, fake_e1000_end),
		cmocka_unit_test_teardown(a_storm_on_the_line_ends, fake_e1000_end),
		cmocka_unit_test_teardown(no_frame_is_forgotten, fake_e1000_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
