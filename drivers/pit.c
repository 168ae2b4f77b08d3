/* Channels in mode 0; gate and output of channel 2 are at port 61h. Intel 8254 data sheet. Holds no state. */
#include "drivers/pit.h"

#include "hv/base/x86.h"

#define PORT_CHANNEL0 0x40
#define PORT_CHANNEL2 0x42
#define PORT_COMMAND 0x43
#define PORT_GATE 0x61
#define COMMAND_CHANNEL2_MODE0 0xb0 /* low byte, then high byte */
#define COMMAND_CHANNEL0_MODE0 0x30
#define COMMAND_STATUS0 0xe2 /* read-back: status of channel 0 */
#define STATUS_OUTPUT 0x80
#define GATE_ON 0x01
#define SPEAKER_ON 0x02
#define OUTPUT 0x20
#define MAX_READS 1000000 /* a read of port 61h takes about 1 us on hardware */

uint64_t pit_measure_tsc(void)
{
	uint8_t gate = inb(PORT_GATE);
	uint64_t start, ticks;
	unsigned reads = 0;

	outb(PORT_GATE, (gate & ~(GATE_ON | SPEAKER_ON)) | GATE_ON);
	outb(PORT_COMMAND, COMMAND_CHANNEL2_MODE0);
	outb(PORT_CHANNEL2, PIT_MEASURE_COUNT & 0xff);
	outb(PORT_CHANNEL2, PIT_MEASURE_COUNT >> 8);
	start = rdtsc();
	while (!(inb(PORT_GATE) & OUTPUT) && ++reads < MAX_READS)
		;
	ticks = rdtsc() - start;
	outb(PORT_GATE, gate);
	/* Output high at the first look: nothing is there and all bits read as one. */
	return reads && reads < MAX_READS ? ticks : 0;
}

/* A full count is written as 0. */
void pit_alarm_set(uint32_t count)
{
	outb(PORT_COMMAND, COMMAND_CHANNEL0_MODE0);
	outb(PORT_CHANNEL0, (uint8_t)count);
	outb(PORT_CHANNEL0, (uint8_t)(count >> 8));
}

/* The command takes the output low, and without a count nothing counts. */
void pit_alarm_off(void) { outb(PORT_COMMAND, COMMAND_CHANNEL0_MODE0); }

bool pit_alarm_rang(void)
{
	outb(PORT_COMMAND, COMMAND_STATUS0);
	return inb(PORT_CHANNEL0) & STATUS_OUTPUT;
}
