/*
 * Structure offsets for assembly. A file DIR/offsets.c includes the headers it needs and has one
 * function full of OFFSET() and VALUE(); it is compiled to assembly, never linked, and the Makefile
 * turns it into "DIR_offsets.h" (vmx/offsets.c gives "vmx_offsets.h"), which .S files include.
 */
#ifndef HV_BASE_OFFSETS_H
#define HV_BASE_OFFSETS_H

#include <stddef.h>

/* #define NAME value, for any integer constant expression. */
#define VALUE(name, value) __asm__ volatile("\n@define " #name " %c0" : : "i"((long)(value)))

/* #define NAME offsetof(type, member). */
#define OFFSET(name, type, member) VALUE(name, offsetof(type, member))

#endif
