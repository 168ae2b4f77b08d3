/* Owns the tables of configuration keys and the reading of their values. */
#include "hv/base/config_key.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/hex.h"
#include "hv/base/log.h"
#include "hv/base/percpu.h"

#define MEMORY_UNIT MIB(2)
#define MEMORY_MAX GIB(1024)
#define WATCHDOG_MAX 3600

bool slice_is(struct slice s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.at, word, s.len) == 0;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

struct slice slice_trim(struct slice s)
{
	while (s.len && is_space(s.at[0]))
		s.at++, s.len--;
	while (s.len && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool slice_cut(struct slice *s, char c, struct slice *before)
{
	const char *found = s->len ? memchr(s->at, c, s->len) : NULL;

	if (!found)
		return false;
	*before = (struct slice){ s->at, (size_t)(found - s->at) };
	s->len -= before->len + 1;
	s->at = found + 1;
	return true;
}

int config_refuse(const struct config_place *p, const char *fmt, ...)
{
	char text[sizeof(p->failure->text)];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	if (p->line)
		return fail(p->failure, -EINVAL, "gnomon.conf:%u: %s", p->line, text);
	return fail(p->failure, -EINVAL, "option: %s", text);
}

static int read_text(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	if (v.len >= k->max)
		return config_refuse(p, "%s is longer than %lu characters; shorten it", k->name, k->max - 1);
	memcpy(field, v.at, v.len);
	((char *)field)[v.len] = 0;
	return 0;
}

/* A file name, searched from the root of the stick's FAT partition. */
static int read_path(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	if (v.len == 0)
		return config_refuse(p, "%s names no file; write %s = PATH, from the stick's root", k->name, k->name);
	for (size_t i = 0; i < v.len; i++)
		if (memchr(":*?\"<>|", v.at[i], 7) || (unsigned char)v.at[i] >= 0x80)
			return config_refuse(p, "%s holds '%.1s', which no file name on the stick can; rename it",
			                     k->name, (unsigned char)v.at[i] >= 0x80 ? "?" : v.at + i);
	return read_text(k, field, v, p);
}

bool config_number(struct slice v, unsigned base, uint64_t *out)
{
	uint64_t n = 0;

	if (v.len == 0)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		uint64_t digit = (uint64_t)hex_digit(v.at[i]);

		if (digit >= base || __builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return true;
}

static int read_count(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	uint64_t n;

	if (!config_number(v, 10, &n) || n < k->min || n > k->max)
		return config_refuse(p, "%s = %.*s is not a number from %lu to %lu", k->name, SHOWN(v), k->min, k->max);
	*(uint32_t *)field = (uint32_t)n;
	return 0;
}

/* The factor of the letter that ends the value, which is cut off; 0 when it is neither digit nor M nor G. */
static uint64_t take_unit(struct slice *v)
{
	char last = v->len ? v->at[v->len - 1] : 0;

	if (last >= '0' && last <= '9')
		return 1;
	v->len -= v->len != 0;
	switch (last | 0x20) {
	case 'm':
		return MIB(1);
	case 'g':
		return GIB(1);
	default:
		return 0;
	}
}

static int read_size(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	struct slice digits = v;
	uint64_t n, unit = take_unit(&digits);

	if (!unit || !config_number(digits, 10, &n) || __builtin_mul_overflow(n, unit, &n))
		return config_refuse(p, "%s = %.*s is not a size; write it like 512M or 2G", k->name, SHOWN(v));
	if (n < k->min || n > k->max || !is_aligned(n, MEMORY_UNIT))
		return config_refuse(p, "%s = %.*s must be a multiple of 2M, from %luM to %luM, like 512M", k->name, SHOWN(v),
		                     k->min >> 20, k->max >> 20);
	*(uint64_t *)field = n;
	return 0;
}

/* "monitor or poweroff or reboot" */
static void list_choices(const struct choice *c, char *out, size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (; c->name && used < size; c++) {
		used += (size_t)format(out + used, size - used, "%s%s", used ? " or " : "", c->name);
	}
}

static int read_choice(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	char names[80];

	list_choices(k->choices, names, sizeof(names));
	for (const struct choice *c = k->choices; c->name; c++) {
		if (!slice_is(v, c->name))
			continue;
		*(uint32_t *)field = c->value;
		return 0;
	}
	return config_refuse(p, "%s = %.*s is not known; write %s", k->name, SHOWN(v), names);
}

static int read_yes_no(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	if (!slice_is(v, "yes") && !slice_is(v, "no"))
		return config_refuse(p, "%s = %.*s is neither yes nor no", k->name, SHOWN(v));
	*(bool *)field = slice_is(v, "yes");
	return 0;
}

static int read_off_auto(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	if (!slice_is(v, "off") && !slice_is(v, "auto"))
		return config_refuse(p, "%s = %.*s is neither off nor auto", k->name, SHOWN(v));
	*(bool *)field = slice_is(v, "auto");
	return 0;
}

static int read_switch_key(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	uint8_t c;

	if (v.len != 6 || memcmp(v.at, "Ctrl-", 5) != 0)
		return config_refuse(p, "%s = %.*s is no control key; write it like Ctrl-]", k->name, SHOWN(v));
	c = (uint8_t)v.at[5];
	if (c >= 'a' && c <= 'z')
		c -= 0x20;
	if (c < 'A' || c > '_' || c == 'I' || c == 'J' || c == 'M' || c == '[')
		return config_refuse(p, "%s = %.*s cannot be told from another key; take Ctrl-] or a letter but I, J, M",
		                     k->name, SHOWN(v));
	*(uint8_t *)field = c & 0x1f;
	return 0;
}

/* Never repeats in an error what may be a secret. */
static int read_secret(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	bool good = v.len >= k->min && v.len < k->max;

	for (size_t i = 0; i < v.len; i++)
		good &= v.at[i] > ' ' && v.at[i] < 0x7f;
	if (!good)
		return config_refuse(p, "%s takes %lu to %lu letters, digits and signs without blanks; `openssl rand -hex 16`"
		                     " makes a good one", k->name, k->min, k->max - 1);
	memset(field, 0, k->max);
	memcpy(field, v.at, v.len);
	return 0;
}

static int read_port(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	uint64_t n = 0;

	if (!slice_is(v, "off") && (!config_number(v, 10, &n) || n < 1 || n > UINT16_MAX))
		return config_refuse(p, "%s = %.*s is no port; write a number from 1 to 65535, or off", k->name, SHOWN(v));
	*(struct config_port *)field = (struct config_port){ .number = (uint32_t)n, .line = p->line };
	return 0;
}

static bool next_word(struct slice *rest, struct slice *word)
{
	while (rest->len && (is_space(rest->at[0]) || rest->at[0] == ','))
		rest->at++, rest->len--;
	*word = (struct slice){ rest->at, 0 };
	while (rest->len && !is_space(rest->at[0]) && rest->at[0] != ',')
		rest->at++, rest->len--, word->len++;
	return word->len != 0;
}

static int read_features(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	feature_set_t set = 0;
	struct slice word;

	if (slice_is(v, "none"))
		v.len = 0;
	while (next_word(&v, &word)) {
		int feature = feature_by_name(word.at, word.len);

		if (feature < 0)
			return config_refuse(p, "%s: there is no optional feature %.*s; `caps` in the monitor lists them"
			                     " (such as vpid, ept-ad, vid)", k->name, SHOWN(word));
		set |= BIT(feature);
	}
	*(feature_set_t *)field = set;
	return 0;
}

static const struct choice when_done_choices[] = {
	{ "monitor", WHEN_DONE_MONITOR },
	{ "poweroff", WHEN_DONE_POWEROFF },
	{ "reboot", WHEN_DONE_REBOOT },
	{ NULL, 0 },
};
static const struct choice loglevel_choices[] = {
	{ "error", LOG_ERROR }, { "warn", LOG_WARN },   { "info", LOG_INFO },
	{ "debug", LOG_DEBUG }, { NULL, 0 },
};
static const struct choice on_off_choices[] = { { "on", true }, { "off", false }, { NULL, 0 } };
static const struct choice mmu_choices[] = {
	{ "ept", MMU_EPT }, { "shadow", MMU_SHADOW }, { NULL, 0 },
};
static const struct choice wakeup_choices[] = {
	{ "sipi", WAKEUP_SIPI }, { "mailbox", WAKEUP_MAILBOX }, { NULL, 0 },
};
static const struct choice nx_huge_choices[] = {
	{ "auto", NX_HUGE_AUTO }, { "on", NX_HUGE_ON }, { "off", NX_HUGE_OFF }, { NULL, 0 },
};
static const struct choice type_choices[] = {
	{ "vm", VM_TYPE_VM }, { "td", VM_TYPE_TD }, { NULL, 0 },
};

#define GLOBAL(field) offsetof(struct config, field)
#define VM(field) offsetof(struct vm_config, field)

static const struct config_key global_keys[] = {
	{ "when_done", read_choice, GLOBAL(when_done), 0, 0, when_done_choices },
	{ "loglevel", read_choice, GLOBAL(loglevel), 0, 0, loglevel_choices },
	{ "serial", config_read_serial, GLOBAL(serial), 0, 0, NULL },
	{ "switch_key", read_switch_key, GLOBAL(switch_key), 0, 0, NULL },
	{ "watchdog", read_count, GLOBAL(watchdog), 0, WATCHDOG_MAX, NULL },
	{ "disable", read_features, GLOBAL(disabled), 0, 0, NULL },
	{ "net", config_read_net, GLOBAL(net), 0, 0, NULL },
	{ "gateway", config_read_gateway, GLOBAL(net.gateway), 0, 0, NULL },
	{ "ipv6", read_off_auto, GLOBAL(net.ipv6), 0, 0, NULL },
	{ "nic", config_read_nic, GLOBAL(net.nic), 0, 0, NULL },
	{ "trace", read_choice, GLOBAL(trace), 0, 0, on_off_choices },
	{ "net_key", read_secret, GLOBAL(net_key), CONFIG_KEY_MIN, CONFIG_KEY_MAX, NULL },
	{ "monitor_port", read_port, GLOBAL(monitor_port), 0, 0, NULL },
	{ "http_port", read_port, GLOBAL(http_port), 0, 0, NULL },
	{ "syslog", config_read_syslog, GLOBAL(syslog), 0, 0, NULL },
};

static const struct config_key vm_keys[] = {
	{ "kernel", read_path, VM(kernel), 0, CONFIG_PATH_MAX, NULL },
	{ "initrd", read_path, VM(initrd), 0, CONFIG_PATH_MAX, NULL },
	{ "cmdline", read_text, VM(cmdline), 0, CONFIG_CMDLINE_MAX, NULL },
	{ "memory", read_size, VM(memory), MEMORY_UNIT, MEMORY_MAX, NULL },
	{ "vcpus", read_count, VM(vcpus), 1, MAX_CPUS, NULL },
	{ "cpu", read_count, VM(first_cpu), 0, MAX_CPUS - 1, NULL },
	{ "mmu", read_choice, VM(mmu), 0, 0, mmu_choices },
	{ "wakeup", read_choice, VM(wakeup), 0, 0, wakeup_choices },
	{ "type", read_choice, VM(type), 0, 0, type_choices },
	{ "autostart", read_yes_no, VM(autostart), 0, 0, NULL },
	{ "strict", read_yes_no, VM(strict), 0, 0, NULL },
	{ "premap", read_yes_no, VM(premap), 0, 0, NULL },
	{ "lazy_accept", read_yes_no, VM(lazy_accept), 0, 0, NULL },
	{ "nx_huge", read_choice, VM(nx_huge), 0, 0, nx_huge_choices },
};

const struct config_keys config_global_keys = {
	global_keys, ARRAY_LEN(global_keys),
	"when_done, loglevel, serial, switch_key, watchdog, disable, trace, net, gateway, ipv6, nic,"
	" net_key, monitor_port, http_port, syslog",
};
const struct config_keys config_vm_keys = {
	vm_keys, ARRAY_LEN(vm_keys),
	"kernel, initrd, cmdline, memory, vcpus, cpu, mmu, wakeup, type, autostart, strict, premap, lazy_accept,"
	" nx_huge",
};

int config_key_find(const struct config_keys *table, struct slice name)
{
	for (size_t i = 0; i < table->count; i++)
		if (slice_is(name, table->keys[i].name))
			return (int)i;
	return -1;
}

int config_key_set(const struct config_keys *table, int index, void *base, struct slice value,
                   const struct config_place *p)
{
	const struct config_key *k = &table->keys[index];

	return k->read(k, (char *)base + k->offset, value, p);
}
