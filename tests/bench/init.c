/*
 * The init of a measured Linux boot, alone in its initrd: reads the TSC as its first act, tells it on
 * COM1 by the ports themselves (the kernel may have no console there), switches the machine off.
 */
#include <stddef.h>
#include <stdint.h>

#define SYS_PAUSE 34
#define SYS_REBOOT 169
#define SYS_IOPL 172

#define COM1 0x3f8
#define COM1_STATUS (COM1 + 5)
#define STATUS_THRE 0x20
#define STATUS_TEMT 0x40

#define REBOOT_MAGIC 0xfee1dead
#define REBOOT_MAGIC2 672274793
#define REBOOT_POWER_OFF 0x4321fedc

void _start(void);

static long system_call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static void wait_for(uint8_t bits)
{
	uint8_t status;

	do
		__asm__ volatile("inb %1, %0" : "=a"(status) : "Nd"((uint16_t)COM1_STATUS));
	while ((status & bits) != bits);
}

static void put(const char *text)
{
	for (; *text; text++) {
		wait_for(STATUS_THRE);
		__asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((uint16_t)COM1));
	}
}

static void put_decimal(uint64_t value)
{
	char text[21], *digit = text + sizeof(text) - 1;

	*digit = 0;
	do {
		*--digit = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(digit);
}

void _start(void)
{
	uint64_t tsc = __builtin_ia32_rdtsc();

	system_call(SYS_IOPL, 3, 0, 0);
	put("\r\nINIT ");
	put_decimal(tsc);
	put(" ticks\r\n");
	wait_for(STATUS_TEMT);
	system_call(SYS_REBOOT, (int)REBOOT_MAGIC, REBOOT_MAGIC2, REBOOT_POWER_OFF);
	for (;;)
		system_call(SYS_PAUSE, 0, 0, 0);
}
