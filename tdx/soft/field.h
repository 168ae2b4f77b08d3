/*
 * Metadata fields: what the host reads and writes by SYS.RD, MNG.RD/WR and VP.RD/WR, and the guest by VM.RD/WR
 * and SYS.RD. One table for each context, in the order in which the next field's id is given. TDX Module 1.5
 * ABI specification, "Metadata Access".
 *
 * A field is found by code and class: element size, context, "inc" and the non-architectural bit are not
 * looked at, as hardware does; the other bits of an id must be 0.
 */
#ifndef TDX_SOFT_FIELD_H
#define TDX_SOFT_FIELD_H

#include "tdx/abi/fields.h"
#include "tdx/soft/vp.h"

/* Who may do what. */
enum field_access { FIELD_HOST_READ = 1, FIELD_HOST_WRITE = 2, FIELD_GUEST_READ = 4, FIELD_GUEST_WRITE = 8 };

/* Of what fields are read: td for those of a TD, vp too for those of a vCPU, which this LP has. */
struct field_target {
	struct soft_call *c;
	struct soft_td *td;
	struct soft_vp *vp;
};

enum field_place { FIELD_COMPUTED, FIELD_IN_TDR, FIELD_IN_TDCS, FIELD_IN_VP };

struct field {
	uint64_t id;
	uint32_t count;  /* elements, whose codes follow each other */
	uint32_t access; /* enum field_access, or-ed */
	enum field_place place;
	uint32_t offset; /* of the first in its structure */
	uint32_t size;   /* bytes of an element there: 1, 2, 4, 8 */
	uint64_t writable; /* bits */
	/* FIELD_COMPUTED. */
	uint64_t (*read)(const struct field_target *t, uint32_t index);
	/* NULL, or whether this value may be written. */
	bool (*accepts)(const struct field_target *t, uint64_t value);
};

struct field_table {
	const struct field *field;
	uint32_t n;
};
extern const struct field_table sys_fields, td_fields, vp_fields;

/* METADATA_FIELD_ID_INCORRECT, METADATA_FIELD_NOT_READABLE. */
uint64_t field_read(const struct field_table *table, const struct field_target *t, enum field_access access,
	uint64_t id, uint64_t *value) MUST_CHECK;
/*
 * Bits of value that mask has; *old is what was there. METADATA_FIELD_ID_INCORRECT, METADATA_FIELD_NOT_WRITABLE,
 * METADATA_FIELD_VALUE_NOT_VALID.
 */
uint64_t field_write(const struct field_table *table, const struct field_target *t, enum field_access access,
	uint64_t id, uint64_t value, uint64_t mask, uint64_t *old) MUST_CHECK;

/* The id of the first field that may be read so, and of the one after id; TDX_FIELD_FIRST: there is none. */
uint64_t field_first(const struct field_table *table, enum field_access access);
uint64_t field_next(const struct field_table *table, enum field_access access, uint64_t id);

/*
 * A leaf that reads: the id is in RDX. R8 is the value, and where next (SYS.RD, or version 1), RDX the next id;
 * TDX_FIELD_FIRST asks for the first one then. An unknown field is RDX = -1 and R8 = 0.
 */
uint64_t field_leaf_read(const struct field_table *table, const struct field_target *t, bool next) MUST_CHECK;
/* A leaf that writes: value in R8, mask in R9; the old value in R8. */
uint64_t field_leaf_write(const struct field_table *table, const struct field_target *t) MUST_CHECK;

#endif
