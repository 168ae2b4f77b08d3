/* Owns the two ways out for text: the firmware's ConOut and the UART. */
#include "boot/console.h"

#include "boot/efi_base.h"
#include "hv/base/format.h"
#include "hv/base/x86.h"

#define COM1 0x3f8
#define UART_DATA 0
#define UART_LSR 5
#define UART_SCRATCH 7
#define UART_LSR_THRE 0x20
#define UART_SPINS 200000 /* some ten milliseconds: a character at 9600 baud takes one */

static uint16_t uart_port; /* 0: not used */
static bool firmware_there = true;

/* EDK II marks with this protocol each device that its console output goes to. */
static EFI_GUID console_out_device_guid = {
	0xd3b36f2c, 0xd551, 0x11d4, { 0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d }
};
static EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

/* True when a path has a UART node: type "messaging", subtype "UART" (UEFI specification, "Device Path Protocol"). */
static bool path_has_uart(const EFI_DEVICE_PATH *path)
{
	const uint8_t *node = (const uint8_t *)path;

	for (unsigned i = 0; i < 64 && (node[0] & 0x7f) != END_DEVICE_PATH_TYPE; i++) {
		unsigned len = node[2] | (unsigned)node[3] << 8;

		if (node[0] == MESSAGING_DEVICE_PATH && node[1] == MSG_UART_DP)
			return true;
		if (len < 4)
			return false;
		node += len;
	}
	return false;
}

static bool conout_has_uart(void)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	bool found = false;

	if (EFI_ERROR(efi_boot->LocateHandleBuffer(ByProtocol, &console_out_device_guid, NULL, &count, &handles)))
		return false;
	for (UINTN i = 0; !found && i < count; i++) {
		EFI_DEVICE_PATH *path;

		if (!EFI_ERROR(efi_boot->HandleProtocol(handles[i], &device_path_guid, (void **)&path)))
			found = path_has_uart(path);
	}
	efi_boot->FreePool(handles);
	return found;
}

/* A UART keeps what is written to its scratch register; where none is, reads give FFh. */
static bool uart_answers(uint16_t port)
{
	outb(port + UART_SCRATCH, 0x5a);
	return inb(port + UART_SCRATCH) == 0x5a && inb(port + UART_LSR) != 0xff;
}

static uint16_t chosen_port;

/* What is not at an I/O port is the hypervisor's to find; until then COM1 serves. */
void console_init(const struct serial_config *c)
{
	uint16_t port = c->kind == SERIAL_PORT ? (uint16_t)c->address : COM1;

	chosen_port = c->kind != SERIAL_NONE && uart_answers(port) ? port : 0;
	uart_port = conout_has_uart() ? 0 : chosen_port;
}

static void uart_write(const char *text)
{
	for (; *text; text++) {
		for (unsigned i = 0; i < UART_SPINS && !(inb(uart_port + UART_LSR) & UART_LSR_THRE); i++)
			__builtin_ia32_pause();
		outb(uart_port + UART_DATA, (uint8_t)*text);
	}
}

static void firmware_write(const char *text)
{
	CHAR16 wide[128];

	while (*text) {
		size_t n = 0;

		while (*text && n < ARRAY_LEN(wide) - 1)
			wide[n++] = (CHAR16)(unsigned char)*text++;
		wide[n] = 0;
		efi_system->ConOut->OutputString(efi_system->ConOut, wide);
	}
}

static void write_text(const char *text)
{
	if (uart_port)
		uart_write(text);
	if (firmware_there && efi_system->ConOut)
		firmware_write(text);
}

static void write_args(const char *fmt, va_list args)
{
	char text[400];

	vformat(text, sizeof(text), fmt, args);
	write_text(text);
}

void say_begin(const char *fmt, ...)
{
	va_list args;

	write_text("gnomon: ");
	va_start(args, fmt);
	write_args(fmt, args);
	va_end(args);
}

void say_more(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_args(fmt, args);
	va_end(args);
}

void say_end(void) { write_text("\r\n"); }

void say(const char *fmt, ...)
{
	va_list args;

	write_text("gnomon: ");
	va_start(args, fmt);
	write_args(fmt, args);
	va_end(args);
	say_end();
}

void console_leave_firmware(void)
{
	firmware_there = false;
	uart_port = chosen_port;
}

void console_wait_key(void)
{
	EFI_INPUT_KEY key;
	UINTN index;

	if (!efi_system->ConIn)
		return;
	efi_system->ConIn->Reset(efi_system->ConIn, FALSE);
	efi_boot->WaitForEvent(1, &efi_system->ConIn->WaitForKey, &index);
	efi_system->ConIn->ReadKeyStroke(efi_system->ConIn, &key);
}
