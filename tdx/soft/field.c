/* Metadata fields; see the header. */
#include "tdx/soft/field.h"

#include <string.h>

#include "hv/base/panic.h"

#define NAME (TDX_FIELD_CODE | TDX_FIELD_CLASS)
#define IGNORED (BITS(33, 32) | TDX_FIELD_INC | TDX_FIELD_MASK_VALID | BITS(54, 52) | TDX_FIELD_NON_ARCH)

/* The field that id names, and which element of it. */
static const struct field *find(const struct field_table *table, uint64_t id, uint32_t *index)
{
	if (id & ~(NAME | IGNORED))
		return NULL;
	for (uint32_t i = 0; i < table->n; i++) {
		const struct field *f = &table->field[i];
		uint64_t distance = (id & TDX_FIELD_CODE) - (f->id & TDX_FIELD_CODE);

		if (!((id ^ f->id) & TDX_FIELD_CLASS) && distance < f->count) {
			*index = (uint32_t)distance;
			return f;
		}
	}
	return NULL;
}

static void *stored_at(const struct field *f, const struct field_target *t, uint32_t index)
{
	uint8_t *base = f->place == FIELD_IN_TDR ? (uint8_t *)t->td->tdr :
		f->place == FIELD_IN_TDCS ? (uint8_t *)t->td->tdcs : (uint8_t *)t->vp;

	return base + f->offset + index * f->size;
}

static uint64_t load(const struct field *f, const struct field_target *t, uint32_t index)
{
	uint64_t value = 0;

	if (f->place == FIELD_COMPUTED)
		return f->read(t, index);
	memcpy(&value, stored_at(f, t, index), f->size);
	return value;
}

static void store(const struct field *f, const struct field_target *t, uint32_t index, uint64_t value)
{
	INVARIANT(f->place != FIELD_COMPUTED);
	memcpy(stored_at(f, t, index), &value, f->size);
}

uint64_t field_read(const struct field_table *table, const struct field_target *t, enum field_access access,
	uint64_t id, uint64_t *value)
{
	uint32_t index = 0;
	const struct field *f = find(table, id, &index);

	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (!(f->access & access))
		return TDX_METADATA_FIELD_NOT_READABLE;
	*value = load(f, t, index);
	return TDX_SUCCESS;
}

uint64_t field_write(const struct field_table *table, const struct field_target *t, enum field_access access,
	uint64_t id, uint64_t value, uint64_t mask, uint64_t *old)
{
	uint32_t index = 0;
	const struct field *f = find(table, id, &index);
	uint64_t before;

	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (!(f->access & access))
		return TDX_METADATA_FIELD_NOT_WRITABLE;
	before = load(f, t, index);
	value = (before & ~mask) | (value & mask);
	if (((before ^ value) & ~f->writable) || (f->accepts && !f->accepts(t, value)))
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	store(f, t, index, value);
	*old = before;
	return TDX_SUCCESS;
}

/* The first element of the first field from there on that may be read. */
static uint64_t first_from(const struct field_table *table, enum field_access access, const struct field *f)
{
	for (; f < table->field + table->n; f++)
		if (f->access & access)
			return f->id;
	return TDX_FIELD_FIRST;
}

uint64_t field_first(const struct field_table *table, enum field_access access)
{
	return first_from(table, access, table->field);
}

uint64_t field_next(const struct field_table *table, enum field_access access, uint64_t id)
{
	uint32_t index = 0;
	const struct field *f = find(table, id, &index);

	if (!f)
		return TDX_FIELD_FIRST;
	return index + 1 < f->count ? f->id + index + 1 : first_from(table, access, f + 1);
}

uint64_t field_leaf_read(const struct field_table *table, const struct field_target *t, bool next)
{
	uint64_t id = call_arg(t->c, TDX_RDX), value = 0, status;

	if (next && id == TDX_FIELD_FIRST) {
		call_set(t->c, TDX_RDX, field_first(table, FIELD_HOST_READ));
		call_set(t->c, TDX_R8, 0);
		return TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT;
	}
	status = field_read(table, t, FIELD_HOST_READ, id, &value);
	if (status)
		call_set(t->c, TDX_RDX, TDX_FIELD_FIRST);
	else if (next)
		call_set(t->c, TDX_RDX, field_next(table, FIELD_HOST_READ, id));
	call_set(t->c, TDX_R8, value);
	return status;
}

uint64_t field_leaf_write(const struct field_table *table, const struct field_target *t)
{
	uint64_t old = 0;
	uint64_t status = field_write(table, t, FIELD_HOST_WRITE, call_arg(t->c, TDX_RDX), call_arg(t->c, TDX_R8),
		call_arg(t->c, TDX_R9), &old);

	call_set(t->c, TDX_R8, old);
	return status;
}
