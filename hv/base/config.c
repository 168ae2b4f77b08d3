/* Owns the grammar of gnomon.conf and of the command-line options. What each key takes: config_key.c. */
#include "hv/base/config.h"

#include <string.h>

#include "hv/base/config_key.h"
#include "hv/base/log.h"

struct reader {
	struct config *config;
	struct vm_config *vm; /* whose section is being read; NULL: the global keys */
	uint64_t seen;        /* keys this section has given, by index */
	struct config_place place;
};

void config_defaults(struct config *c)
{
	memset(c, 0, sizeof(*c));
	c->when_done = WHEN_DONE_MONITOR;
	c->loglevel = LOG_INFO;
	c->watchdog = 10;
	c->switch_key = ']' & 0x1f;
	c->net.nic = CONFIG_NIC_ANY;
}

static void vm_defaults(struct vm_config *vm, struct slice name, uint32_t line)
{
	memset(vm, 0, sizeof(*vm));
	memcpy(vm->name, name.at, name.len);
	vm->memory = MIB(512);
	vm->vcpus = 1;
	vm->mmu = MMU_BY_HOST;
	vm->autostart = true;
	vm->strict = true;
	vm->line = line;
}

static struct vm_config *vm_by_name(struct config *c, struct slice name)
{
	for (uint32_t i = 0; i < c->vm_count; i++)
		if (slice_is(name, c->vms[i].name))
			return &c->vms[i];
	return NULL;
}

static bool name_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_';
}

static int check_name(const struct reader *r, struct slice name)
{
	bool good = name.len > 0 && name.len < CONFIG_NAME_MAX;

	for (size_t i = 0; good && i < name.len; i++)
		good = name_char(name.at[i]);
	if (!good)
		return config_refuse(&r->place, "\"%.*s\" is no name for a vm; take up to %u letters, digits, - or _",
		                     SHOWN(name), CONFIG_NAME_MAX - 1);
	if (slice_is(name, "none"))
		return config_refuse(&r->place, "a vm cannot be called none, which start=none means; take another name");
	return 0;
}

/* [vm NAME] */
static int read_section(struct reader *r, struct slice line)
{
	struct slice inner = slice_trim((struct slice){ line.at + 1, line.len - 1 }), name;
	struct vm_config *other;
	int err;

	if (inner.len < 4 || inner.at[inner.len - 1] != ']' || memcmp(inner.at, "vm", 2) != 0 || name_char(inner.at[2]))
		return config_refuse(&r->place, "%.*s is no section; write [vm NAME]", SHOWN(line));
	name = slice_trim((struct slice){ inner.at + 2, inner.len - 3 });
	err = check_name(r, name);
	if (err)
		return err;
	other = vm_by_name(r->config, name);
	if (other)
		return config_refuse(&r->place, "vm %s is already described in line %u; give each vm a name of its own",
		                     other->name, other->line);
	if (r->config->vm_count == CONFIG_MAX_VMS)
		return config_refuse(&r->place, "more than %u vms; leave some out", CONFIG_MAX_VMS);
	r->vm = &r->config->vms[r->config->vm_count++];
	r->seen = 0;
	vm_defaults(r->vm, name, r->place.line);
	return 0;
}

/* The reader's table for key; an unknown key is refused with the names there are. */
static int find_key(const struct reader *r, struct slice key, const struct config_keys **table)
{
	const struct config_keys *other = r->vm ? &config_global_keys : &config_vm_keys;
	int index;

	*table = r->vm ? &config_vm_keys : &config_global_keys;
	index = config_key_find(*table, key);
	if (index >= 0)
		return index;
	if (config_key_find(other, key) < 0)
		return config_refuse(&r->place, "there is no key %.*s; %s %s", SHOWN(key),
		                     r->vm ? "a vm has" : "global keys are", (*table)->all);
	if (r->vm)
		return config_refuse(&r->place, "%.*s is a global key; write it before the first [vm NAME]", SHOWN(key));
	return config_refuse(&r->place, "%.*s belongs to a vm; write it below a line [vm NAME]", SHOWN(key));
}

static int set_key(struct reader *r, struct slice key, struct slice value)
{
	const struct config_keys *table;
	int index = find_key(r, key, &table);

	if (index < 0)
		return index;
	if (r->seen & BIT(index))
		return config_refuse(&r->place, "%.*s is given twice; keep one of the lines", SHOWN(key));
	r->seen |= BIT(index);
	return config_key_set(table, index, r->vm ? (void *)r->vm : (void *)r->config, value, &r->place);
}

/* A comment runs from a # that begins the line or follows white space to the end of the line. */
static struct slice without_comment(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.at[i] == '#' && (i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t'))
			line.len = i;
	return slice_trim(line);
}

static int check_bytes(const struct reader *r, struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return config_refuse(&r->place, "a control character (%02xh); gnomon.conf is plain text", c);
	}
	return 0;
}

static int read_line(struct reader *r, struct slice line)
{
	struct slice key;
	int err;

	line = without_comment(line);
	if (line.len == 0)
		return 0;
	err = check_bytes(r, line);
	if (err)
		return err;
	if (line.at[0] == '[')
		return read_section(r, line);
	if (!slice_cut(&line, '=', &key))
		return config_refuse(&r->place, "\"%.*s\" is neither [vm NAME] nor key = value", SHOWN(line));
	return set_key(r, slice_trim(key), slice_trim(line));
}

int config_parse(struct config *c, const char *text, size_t len, struct failure *f)
{
	struct reader r = { .config = c, .place = { .failure = f } };
	struct slice rest = { text, len }, line;
	bool more = true;

	/* A byte order mark is what some editors put before UTF-8 text. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		rest = (struct slice){ text + 3, len - 3 };
	while (more) {
		int err;

		more = slice_cut(&rest, '\n', &line);
		r.place.line++;
		err = read_line(&r, more ? line : rest);
		if (err)
			return err;
	}
	return 0;
}

/* start=NAME,NAME or start=none: who starts, instead of every autostart. */
static int override_start(struct reader *r, struct slice names)
{
	bool start[CONFIG_MAX_VMS] = { false };
	struct slice name;
	bool more = !slice_is(names, "none");

	while (more) {
		struct vm_config *vm;

		more = slice_cut(&names, ',', &name);
		vm = vm_by_name(r->config, more ? name : names);
		if (!vm)
			return config_refuse(&r->place, "start: gnomon.conf has no vm \"%.*s\"; name its vms, or none",
			                     SHOWN(more ? name : names));
		start[vm - r->config->vms] = true;
	}
	for (uint32_t i = 0; i < r->config->vm_count; i++)
		r->config->vms[i].autostart = start[i];
	return 0;
}

int config_override(struct config *c, const char *option, struct failure *f)
{
	struct reader r = { .config = c, .place = { .failure = f } };
	struct slice value = { option, strlen(option) }, key, name;
	int err = check_bytes(&r, value);

	if (err)
		return err;
	if (!slice_cut(&value, '=', &key))
		return config_refuse(&r.place, "\"%.*s\" is not key=value, VM.key=value or start=VM", SHOWN(value));
	if (slice_is(key, "start"))
		return override_start(&r, value);
	if (slice_cut(&key, '.', &name)) {
		r.vm = vm_by_name(c, name);
		if (!r.vm)
			return config_refuse(&r.place, "gnomon.conf has no vm \"%.*s\"", SHOWN(name));
	}
	return set_key(&r, key, value);
}

/* A TD's private memory is translated by the TDX module's tables, its vCPUs start in its own firmware, and
 * what it does not accept is not mapped. */
static int check_td(const struct vm_config *vm, struct failure *f)
{
	if (vm->mmu == MMU_SHADOW)
		return fail(f, -EINVAL, "gnomon.conf:%u: vm %s: type = td and mmu = shadow exclude each other, a TD has"
		            " tables of its own; leave mmu out", vm->line, vm->name);
	if (vm->wakeup == WAKEUP_SIPI)
		return fail(f, -EINVAL, "gnomon.conf:%u: vm %s: a TD knows no start-up IPI; leave wakeup = sipi out",
		            vm->line, vm->name);
	if (vm->premap)
		return fail(f, -EINVAL, "gnomon.conf:%u: vm %s: a TD accepts its memory itself; leave premap = yes out",
		            vm->line, vm->name);
	return 0;
}

static int check_vm(const struct vm_config *vm, struct failure *f)
{
	if (!vm->kernel[0])
		return fail(f, -EINVAL, "gnomon.conf:%u: vm %s has no kernel; add a line kernel = PATH", vm->line,
		            vm->name);
	if (vm->lazy_accept && vm->type != VM_TYPE_TD)
		return fail(f, -EINVAL, "gnomon.conf:%u: vm %s: lazy_accept = yes is for type = td; leave it out",
		            vm->line, vm->name);
	return vm->type == VM_TYPE_TD ? check_td(vm, f) : 0;
}

int config_check(const struct config *c, struct failure *f)
{
	int err = config_check_net(c, f);

	if (err)
		return err;
	if (c->vm_count == 0 && c->when_done != WHEN_DONE_MONITOR)
		return fail(f, -EINVAL, "gnomon.conf: there is no vm, so nothing to do; add a section [vm NAME],"
		            " or write when_done = monitor");
	for (uint32_t i = 0; i < c->vm_count && !err; i++)
		err = check_vm(&c->vms[i], f);
	return err;
}
