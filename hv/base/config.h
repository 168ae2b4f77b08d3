/*
 * gnomon.conf: what it may say, and its parser. Pure; compiled into boot/ and the hypervisor.
 * `#` begins a comment, global keys stand before the first [vm NAME], every error names its line.
 */
#ifndef HV_BASE_CONFIG_H
#define HV_BASE_CONFIG_H

#include "hv/base/failure.h"
#include "hv/base/features.h"
#include "hv/base/ip_address.h"
#include "hv/base/mmu_kind.h"
#include "hv/base/types.h"

#define CONFIG_MAX_VMS 16
#define CONFIG_NAME_MAX 32
#define CONFIG_PATH_MAX 128
#define CONFIG_CMDLINE_MAX 1024
#define CONFIG_MAX_MODULES 4
#define CONFIG_KEY_MIN 16 /* characters of net_key, at least */
#define CONFIG_KEY_MAX 65 /* with its NUL */

enum when_done { WHEN_DONE_MONITOR, WHEN_DONE_POWEROFF, WHEN_DONE_REBOOT };
enum net_mode { NET_OFF, NET_DHCP, NET_STATIC };
enum vm_type { VM_TYPE_VM, VM_TYPE_TD };
enum vm_nx_huge { NX_HUGE_AUTO, NX_HUGE_ON, NX_HUGE_OFF };
enum vm_wakeup { WAKEUP_BY_MMU, WAKEUP_SIPI, WAKEUP_MAILBOX };

struct vm_config {
	char name[CONFIG_NAME_MAX];
	char kernel[CONFIG_PATH_MAX];
	char initrd[CONFIG_PATH_MAX]; /* empty: none. A Multiboot kernel gets it as its first module */
	char cmdline[CONFIG_CMDLINE_MAX];
	uint64_t memory; /* bytes, multiple of 2 MiB; default 512 MiB */
	uint32_t vcpus;  /* default 1 */
	uint32_t first_cpu; /* vCPU i runs on host CPU (first_cpu + i) % count; key `cpu`, default 0 */
	enum mmu_kind mmu; /* default by host */
	enum vm_type type;
	enum vm_wakeup wakeup; /* how secondary vCPUs start; default: vm_config_mailbox() */
	bool autostart; /* default yes */
	bool strict;    /* unknown MSR: #GP (yes, default) or ignored (no) */
	enum vm_nx_huge nx_huge; /* large EPT pages are not executable; default auto: where the CPU needs that */
	bool premap;    /* map all RAM before the first entry; default no */
	bool lazy_accept; /* of a TD: its kernel accepts the memory as it needs it; default no */
	uint32_t line;  /* of its section header, for errors */
};

/* A TCP port that a service of the network listens on. */
struct config_port {
	uint32_t number; /* 0: off, the default */
	uint32_t line;   /* of gnomon.conf, for errors; 0: a command-line option */
};

/* Where the log is sent; port 514 unless given. */
struct config_syslog {
	struct ip_address address; /* IP_NONE: nowhere, the default */
	uint32_t port;
	uint32_t line; /* of gnomon.conf; 0: a command-line option */
};

/* The host's own network: the keys net, gateway, ipv6, nic. */
struct net_config {
	enum net_mode mode;         /* IPv4; default off */
	struct ip_address address;  /* with NET_STATIC */
	uint32_t prefix;            /* bits of its network, 1 to 30 */
	struct ip_address gateway;  /* IP_NONE: none */
	bool ipv6;                  /* addresses by router advertisements; default off */
	uint32_t nic;               /* PCI address of the card, bus << 8 | device << 3 | function, or CONFIG_NIC_ANY */
};
#define CONFIG_NIC_ANY UINT32_MAX

static inline bool net_config_on(const struct net_config *n) { return n->mode != NET_OFF || n->ipv6; }

/* The host's UART: the key serial. */
enum serial_kind { SERIAL_AUTO, SERIAL_NONE, SERIAL_PORT, SERIAL_MEMORY, SERIAL_PCI, SERIAL_ACPI };
struct serial_config {
	enum serial_kind kind; /* default auto: COM1, else the one ACPI names, else a PCI card */
	uint8_t stride;        /* in memory: bytes from one register to the next */
	uint64_t address;      /* I/O port, physical address, or bus << 8 | device << 3 | function */
};

struct config {
	enum when_done when_done; /* default monitor */
	uint32_t loglevel;        /* enum log_level; default info */
	struct serial_config serial;
	uint32_t watchdog;        /* seconds that a CPU may be away, 0: nobody watches; default 10 */
	uint8_t switch_key;       /* the control character; default 1Dh, Ctrl-] */
	feature_set_t disabled;
	uint32_t trace;           /* 1: exits are recorded from the start; default 0 */
	char net_key[CONFIG_KEY_MAX]; /* the secret that opens the monitor over TCP; empty: none */
	struct config_port monitor_port, http_port;
	struct config_syslog syslog;
	struct net_config net;
	uint32_t vm_count;
	struct vm_config vms[CONFIG_MAX_VMS];
};

void config_defaults(struct config *c);

/* Whether secondary vCPUs wait for the ACPI wakeup mailbox and not for INIT and SIPI: unless said
 * otherwise, where real mode, in which a SIPI starts, cannot be had. kind: what the VM has got. A TD's
 * vCPUs wait for a mailbox too, but that is the affair of its own firmware. */
static inline bool vm_config_mailbox(const struct vm_config *vm, enum mmu_kind kind)
{
	if (vm->vcpus == 1 || vm->wakeup == WAKEUP_SIPI || vm->type == VM_TYPE_TD)
		return false;
	return vm->wakeup == WAKEUP_MAILBOX || kind == MMU_SHADOW;
}

/*
 * Parses the file's text (len bytes, need not end in newline or NUL; any bytes are safe).
 * On the first error returns -EINVAL with "gnomon.conf:LINE: what is wrong, what would be right".
 */
int config_parse(struct config *c, const char *text, size_t len, struct failure *f);

/*
 * One command-line option on top: `key=value` for a global key, `NAME.key=value` for a VM's,
 * `start=NAME[,NAME]` or `start=none` to replace every autostart. Errors begin with "option: ".
 */
int config_override(struct config *c, const char *option, struct failure *f);

/* Last look at the whole: names unique, kernel given, something to do, no key against another. */
int config_check(const struct config *c, struct failure *f);

#endif
