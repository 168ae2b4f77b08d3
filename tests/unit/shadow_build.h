/*
 * Guest page tables for every paging mode, made at random but so that most addresses lead somewhere: a
 * pool of tables of each kind, few indices that are used, and entries that a kernel could have written, with
 * surprises. Every level-1 table also maps all tables, at BUILD_WINDOW and up.
 */
#ifndef TESTS_UNIT_SHADOW_BUILD_H
#define TESTS_UNIT_SHADOW_BUILD_H

#include "tests/unit/shadow_world.h"

enum table_kind { PT_32, PD_32, LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LEVEL_5, PDPT_PAE, TABLE_KINDS };

#define TABLES 32
#define BUILD_WINDOW 16

struct table {
	enum table_kind kind;
	gfn_t gfn;
};
extern struct table tables[TABLES];

struct build_options {
	bool alias_slots;    /* memory may be seen at two places */
	bool alias_tables;   /* tables may lie in memory that is seen at two places */
	uint32_t maxphyaddr; /* of the guest */
};

/* Adds slots, some of them, and fills the tables. */
void build_guest(const struct build_options *o);
/* Deletes a slot, moves it, changes its flags, or adds one that is missing. */
void build_change_slots(void);

uint32_t table_entry_bytes(const struct table *t);
/* An index that addresses use, and an entry for it. */
uint32_t table_index(const struct table *t);
uint64_t table_entry(const struct table *t, uint32_t index);
gpa_t table_gpa(const struct table *t, uint32_t index);
const struct table *table_random(void);
/* The table that the byte at gpa is in, or NULL. */
const struct table *table_at(gpa_t gpa);
const struct table *table_of_kind(enum table_kind kind);

/* What to load in CR3 for the mode; 0 for none. */
uint64_t build_root(enum guest_mode mode);
/* An address that is likely mapped, and one that likely maps table number n. */
gva_t build_gva(enum guest_mode mode);
gva_t build_window(enum guest_mode mode, uint32_t n);
gfn_t build_gfn(void);
/* Perhaps another gfn of the same host frame. */
gfn_t build_alias(gfn_t gfn);

#endif
