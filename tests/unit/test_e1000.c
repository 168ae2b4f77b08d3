/* sources: drivers/nic.c drivers/e1000.c drivers/e1000_ring.c drivers/e1000_irq.c drivers/pci.c drivers/pci_bar.c drivers/pci_msi.c hv/base/failure.c hv/base/format.c tests/unit/fake_pci.c tests/unit/fake_e1000.c */
/*
 * The driver of Intel's gigabit cards on a card of the test's own: start and its failures, rings that wrap
 * and fill up, damaged frames, a card that is stuck or pulled.
 */
#include "drivers/e1000.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/x86.h"
#include "tests/unit/fake_e1000.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

static struct failure why;
static bool quick; /* the next card lives a hundred times as fast */
static uint8_t frame[4096];

static struct nic *start(bool express)
{
	fake_e1000_begin(express);
	if (quick)
		tsc_khz /= 100;
	quick = false;
	return fake_e1000_start(&why);
}

static void both_start(void **state)
{
	struct nic *n;

	(void)state;
	n = start(true);
	assert_ptr_equal(nic_get(), n);
	assert_string_equal(n->name, "82574L");
	assert_string_equal(n->place, "00:03.0");
	assert_memory_equal(n->mac, fake.mac, 6);
	assert_true(n->link && n->full_duplex);
	assert_int_equal(n->speed, 1000);
	assert_int_equal(n->irq, NIC_IRQ_MSIX);
	assert_int_equal(n->poll_ms, 0);
	assert_string_equal(test_last_log, "nic: 82574L at 00:03.0, MAC 52:54:00:12:34:56, link at 1000 Mbit/s, "
			    "full duplex, interrupts by MSI-X");
	assert_int_equal(frame_count(OWNER_NET), test_frames_used());
	assert_in_range(frame_count(OWNER_NET), 90, 110);
	n = start(false);
	assert_int_equal(n->irq, NIC_IRQ_INTX);
	assert_int_equal(fake.regs[E1000_RAL / 4], 0x12005452);
	assert_int_equal(fake.regs[E1000_RAH / 4], 0x80005634);
}

/* Each refused in one sentence, in bounded time. */
static void cards_that_do_not_work(void **state)
{
	struct fake_function *f;

	(void)state;
	fake_e1000_begin(true);
	fake.absent = true;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_string_equal(why.text, "the 82574L at 00:03.0 cannot be used: its registers do not answer");
	fake_e1000_begin(false);
	fake.reset_hangs = true;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "does not come out of its reset"));
	fake_e1000_begin(true);
	fake.nvm_hangs = true;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "NVM"));
	fake_e1000_begin(true);
	fake.no_ral = fake.eeprom_hangs = true;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "EEPROM"));
	f = fake_e1000_begin(true);
	f->config[PCI_BAR0 / 4] = 0;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "firmware gave"));
	fake_e1000_begin(true);
	test_frames_left = 50;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "no memory"));
	assert_null(nic_get());
	fake_e1000_begin(true);
	fake.master_hangs = true; /* reset all the same */
	assert_non_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
}

static void the_address_comes_from_the_eeprom(void **state)
{
	static const uint8_t group[6] = { 1 }, none[6];

	(void)state;
	for (unsigned express = 0; express < 2; express++) {
		fake_e1000_begin(express);
		fake.no_ral = true;
		assert_memory_equal(nic_start(NIC_ANY, fake_e1000_notify, &why)->mac, fake.mac, 6);
		fake_e1000_begin(express);
		memcpy(fake.mac, express ? group : none, 6);
		assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
		assert_non_null(strstr(why.text, "no MAC address"));
	}
}

static void which_card(void **state)
{
	(void)state;
	fake_e1000_begin(true);
	fake_pci_add(0, 0, 1, 0, 0x14e4, 0x1657)->config[PCI_CLASS / 4] = 0x02000000;
	assert_non_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(nic_start(FAKE_CARD, fake_e1000_notify, &why));
	assert_null(nic_start(1 << 3, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "no driver for the device 14e4:1657 at 00:01.0"));
	assert_null(nic_start(0x7f8, fake_e1000_notify, &why));
	assert_string_equal(why.text, "there is no PCI device at 07:1f.0: the command pci lists those there are");
	fake_functions[0].address = 0x100000;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_non_null(strstr(why.text, "no driver for the device 14e4"));
	fake_count = 0;
	assert_null(nic_start(NIC_ANY, fake_e1000_notify, &why));
	assert_string_equal(why.text, "there is no network card, at least none on PCI");
}

static void fill(uint8_t *f, size_t len, uint32_t n)
{
	uint64_t random = n + 1;

	for (size_t i = 0; i < len; i++)
		f[i] = (uint8_t)test_random(&random);
}

/* Several times around both rings, every frame unharmed. */
static void frames_go_around(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	struct nic *n;

	(void)state;
	for (unsigned express = 0; express < 2; express++) {
		n = start(express);
		for (uint32_t i = 0; i < 1000; i++) {
			size_t len = NIC_FRAME_MIN + i % (NIC_FRAME_MAX - NIC_FRAME_MIN + 1);

			fill(frame, len, i);
			assert_int_equal(n->send(n, frame, len), 0);
			assert_int_equal(fake.sent_len[i % FAKE_SENT], len);
			assert_memory_equal(fake.sent[i % FAKE_SENT], frame, len);
			assert_true(fake_e1000_frame(frame, (uint16_t)len, FAKE_GOOD, 0, 0));
			assert_true(fake_e1000_interrupt());
			n->service(n);
			assert_int_equal(n->receive(n, got, sizeof(got)), len);
			assert_memory_equal(got, frame, len);
		}
		assert_int_equal(n->receive(n, got, sizeof(got)), 0);
		assert_int_equal(n->counters.sent, 1000);
		assert_int_equal(n->counters.received, 1000);
		assert_in_range(n->counters.interrupts, 1000, 1001);
		assert_int_equal(n->counters.receive_bad + n->counters.send_full + n->counters.resets, 0);
		assert_in_range(fake.rdt_writes, 60, 70);
	}
}

static void the_card_has_no_descriptor_left(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	unsigned taken = 0, received = 0;
	struct nic *n;

	(void)state;
	quick = true;
	n = start(false);
	while (fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0))
		taken++;
	assert_int_equal(taken, E1000_RECEIVE_RING - 1);
	fake_e1000_wait_ms(1100);
	n->service(n);
	assert_int_equal(n->counters.receive_lost, 1);
	while (n->receive(n, got, sizeof(got)))
		received++;
	assert_int_equal(received, taken);
	assert_true(fake_e1000_frame(frame, 61, FAKE_GOOD, 0, 0));
	assert_int_equal(n->receive(n, got, sizeof(got)), 61);
}

static void a_full_ring_tells_when_there_is_room(void **state)
{
	struct nic *n;
	unsigned sent = 0;

	(void)state;
	for (unsigned express = 0; express < 2; express++) {
		n = start(express);
		fake.sender_hangs = true;
		for (sent = 0; n->send(n, frame, 60) == 0;)
			sent++;
		assert_int_equal(sent, E1000_SEND_RING - 1);
		assert_int_equal(n->send(n, frame, 60), -EAGAIN);
		assert_int_equal(n->counters.send_full, 2);
		fake.sender_hangs = false;
		fake.notified = 0;
		fake_e1000_send_all();
		assert_true(fake_e1000_interrupt());
		assert_int_equal(fake.notified, 1);
		n->service(n);
		assert_int_equal(n->send(n, frame, 60), 0);
		assert_int_equal(n->counters.resets, 0);
		/* From now on frames sent are nothing to interrupt for. */
		fake_e1000_interrupt();
		n->service(n);
		assert_int_equal(n->send(n, frame, 60), 0);
		assert_false(fake_e1000_interrupt());
	}
}

static void a_stuck_sender_is_reset(void **state)
{
	struct nic *n;

	(void)state;
	quick = true;
	n = start(true);
	fake.sender_hangs = true;
	assert_int_equal(n->send(n, frame, 60), 0);
	fake_e1000_wait_ms(5100);
	fake.link = false; /* nothing can be sent then, which is no fault, however long it lasts */
	n->service(n);
	fake_e1000_wait_ms(5100);
	n->service(n);
	assert_int_equal(n->counters.resets, 0);
	fake.link = true;
	n->service(n);
	assert_int_equal(n->counters.resets, 0);
	fake_e1000_wait_ms(5100);
	n->service(n);
	assert_int_equal(n->counters.resets, 1);
	fake.sender_hangs = false;
	assert_int_equal(n->send(n, frame, 70), 0);
	assert_int_equal(fake.sent_len[0], 70);
	assert_true(fake_e1000_frame(frame, 60, FAKE_GOOD, 0, 0));
	assert_true(fake_e1000_interrupt());
	/* It gets stuck again and does not come out of its reset: given up, in bounded time. */
	fake.sender_hangs = fake.reset_hangs = true;
	n->service(n);
	assert_int_equal(n->send(n, frame, 60), 0);
	fake_e1000_wait_ms(5100);
	n->service(n);
	assert_non_null(strstr(test_last_log, "is lost"));
	assert_false(n->link);
	assert_int_equal(n->send(n, frame, 60), -ENETDOWN);
}

static void damaged_frames_are_dropped(void **state)
{
	static const struct { uint8_t status, errors; uint16_t len, lie; unsigned bad; } wrong[] = {
		{ FAKE_GOOD, 0x01, 60, 0, 1 },            /* CRC */
		{ FAKE_GOOD, 0x80, 60, 0, 1 },            /* data */
		{ FAKE_GOOD, 0, 13, 0, 1 },               /* too short to be a frame */
		{ FAKE_GOOD, 0, 60, 0xffff, 1 },          /* longer than the buffer */
		{ FAKE_GOOD, 0, 60, E1000_BUFFER + 1, 1 },
		{ FAKE_GOOD, 0, 1515, 0, 1 },             /* longer than the reader's */
		{ E1000_DESC_DONE, 0, 2048, 0, 1 },  /* the beginning of a frame, and */
		{ E1000_DESC_DONE, 0, 2048, 0, 1 },
		{ FAKE_GOOD, 0, 100, 0, 1 },              /* its end */
	};
	uint8_t got[NIC_FRAME_MAX];
	struct nic *n;

	(void)state;
	n = start(true);
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
		fake_e1000_frame(frame, wrong[i].len, wrong[i].status, wrong[i].errors, wrong[i].lie);
	fake_e1000_frame(frame, 77, FAKE_GOOD, 0x60, 0); /* checksum hints of layers above are no errors here */
	assert_int_equal(n->receive(n, got, sizeof(got)), 77);
	assert_int_equal(n->counters.receive_bad, ARRAY_LEN(wrong));
	assert_int_equal(n->counters.received, 1);
}

/* A card that writes anything into its descriptors. */
static void any_descriptors(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	uint64_t random = 3;
	struct nic *n;

	(void)state;
	n = start(true);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t r = test_random(&random);
		size_t len;

		fake_e1000_frame(frame, (uint16_t)(r % 2049), (uint8_t)(r >> 16 | 1), (uint8_t)(r >> 24 & r >> 48),
				 (uint16_t)(r >> 32));
		if (r >> 60 == 0) {
			fake_e1000_interrupt();
			n->service(n);
		}
		len = n->receive(n, got, sizeof(got));
		assert_true(len == 0 || (len >= NIC_FRAME_MIN && len <= sizeof(got)));
	}
	assert_true(n->counters.receive_bad + n->counters.received >= 20000 - E1000_RECEIVE_RING);
}

static void lengths_that_are_no_frame(void **state)
{
	struct nic *n;

	(void)state;
	n = start(false);
	assert_int_equal(n->send(n, frame, 13), -EMSGSIZE);
	assert_int_equal(n->send(n, frame, 1515), -EMSGSIZE);
	assert_int_equal(n->send(n, frame, ~(size_t)0), -EMSGSIZE);
	assert_int_equal(n->counters.send_refused, 3);
	assert_int_equal(fake.sent_count, 0);
}

static void the_cable_is_pulled_and_put_back(void **state)
{
	struct nic *n;

	(void)state;
	n = start(true);
	fake.link = false;
	fake_e1000_cause(E1000_LINK_CHANGED);
	assert_true(fake_e1000_interrupt());
	assert_true(n->link); /* until somebody looks */
	n->service(n);
	assert_false(n->link);
	assert_int_equal(n->speed, 0);
	assert_non_null(strstr(test_last_log, "no link"));
	assert_int_equal(n->send(n, frame, 60), -ENETDOWN);
	fake.link = true;
	fake.status_speed = 1;
	fake_e1000_cause(E1000_LINK_CHANGED);
	assert_true(fake_e1000_interrupt());
	n->service(n);
	assert_true(n->link);
	assert_int_equal(n->speed, 100);
	assert_int_equal(n->counters.link_changes, 2);
	assert_int_equal(n->send(n, frame, 60), 0);
}

static void the_card_is_pulled(void **state)
{
	uint8_t got[NIC_FRAME_MAX];
	struct nic *n;
	uint32_t accesses;

	(void)state;
	n = start(true);
	fake.absent = true;
	fake_handler();
	n->service(n);
	assert_false(n->link);
	assert_non_null(strstr(test_last_log, "does not answer any more"));
	accesses = fake.accesses;
	n->service(n);
	assert_int_equal(n->send(n, frame, 60), -ENETDOWN);
	assert_int_equal(n->receive(n, got, sizeof(got)), 0);
	n->multicast(n, (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, true);
	n->panic_send(n, frame, 60);
	assert_int_equal(fake.accesses, accesses);
}

static bool group_is_on(const uint8_t *g)
{
	uint32_t hash = g[4] >> 4 | g[5] << 4;

	return (fake.regs[E1000_RCTL / 4] & E1000_RCTL_ALL_GROUPS) || fake.regs[E1000_MTA / 4 + hash / 32] >> hash % 32 & 1;
}

static void groups(void **state)
{
	uint8_t g[NIC_MAC_SIZE] = { 0x33, 0x33, 0xff, 0, 0, 0 };
	struct nic *n;

	(void)state;
	quick = true;
	n = start(true);
	for (uint8_t i = 0; i < 20; i++) {
		g[5] = i;
		n->multicast(n, g, true);
		n->multicast(n, g, true);
		assert_true(group_is_on(g));
		assert_int_equal(!!(fake.regs[E1000_RCTL / 4] & E1000_RCTL_ALL_GROUPS), i >= E1000_GROUPS);
	}
	g[5] = 3;
	fake.sender_hangs = true;
	n->send(n, frame, 60);
	fake_e1000_wait_ms(5100);
	n->service(n); /* a reset forgets none */
	assert_int_equal(n->counters.resets, 1);
	assert_true(group_is_on(g));
	g[5] = 200;
	n->multicast(n, g, false); /* never was on; also the first of those that found no room */
	for (uint8_t i = 0; i < 20; i++) {
		g[5] = i;
		n->multicast(n, g, false);
	}
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(fake.regs[E1000_MTA / 4 + i], 0);
	assert_true(fake.regs[E1000_RCTL / 4] & E1000_RCTL_BROADCAST);
}

static void a_panic_sends(void **state)
{
	struct nic *n;

	(void)state;
	n = start(true);
	for (unsigned i = 0; i < 5; i++)
		n->send(n, frame, 60);
	fake.sender_hangs = true;
	for (unsigned i = 0; i < 100; i++) /* whatever was there */
		n->send(n, frame, 60);
	fake.sender_hangs = false;
	fake.sent_count = 0;
	for (unsigned i = 0; i < 20; i++) {
		fill(frame, 200 + i, i);
		n->panic_send(n, frame, 200 + i);
		assert_int_equal(fake.sent_count, i + 1);
		assert_int_equal(fake.sent_len[i], 200 + i);
		assert_memory_equal(fake.sent[i], frame, 200 + i);
	}
	n->panic_send(n, frame, 0);
	n->panic_send(n, frame, 5000);
	assert_int_equal(fake.sent_count, 20);
	assert_int_equal(n->send(n, frame, 60), -ENETDOWN);
	fake.sender_hangs = true; /* bounded */
	n->panic_send(n, frame, 60);
	n->service(n);
	assert_int_equal(n->counters.resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(both_start, fake_e1000_end),
		cmocka_unit_test_teardown(cards_that_do_not_work, fake_e1000_end),
		cmocka_unit_test_teardown(the_address_comes_from_the_eeprom, fake_e1000_end),
		cmocka_unit_test_teardown(which_card, fake_e1000_end),
		cmocka_unit_test_teardown(frames_go_around, fake_e1000_end),
		cmocka_unit_test_teardown(the_card_has_no_descriptor_left, fake_e1000_end),
		cmocka_unit_test_teardown(a_full_ring_tells_when_there_is_room, fake_e1000_end),
		cmocka_unit_test_teardown(a_stuck_sender_is_reset, fake_e1000_end),
		cmocka_unit_test_teardown(damaged_frames_are_dropped, fake_e1000_end),
		cmocka_unit_test_teardown(any_descriptors, fake_e1000_end),
		cmocka_unit_test_teardown(lengths_that_are_no_frame, fake_e1000_end),
		cmocka_unit_test_teardown(the_cable_is_pulled_and_put_back, fake_e1000_end),
		cmocka_unit_test_teardown(the_card_is_pulled, fake_e1000_end),
		cmocka_unit_test_teardown(groups, fake_e1000_end),
		cmocka_unit_test_teardown(a_panic_sends, fake_e1000_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
