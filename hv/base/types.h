/*
 * Types and arithmetic that every part of Gnomon uses.
 * Owns nothing at run time. Compiled into boot/, the hypervisor and the host tests alike.
 */
#ifndef HV_BASE_TYPES_H
#define HV_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t hpa_t; /* host physical address, bytes */
typedef uint64_t gpa_t; /* guest physical address, bytes */
typedef uint64_t gva_t; /* guest linear address, bytes */
typedef uint64_t gfn_t; /* guest frame number: gpa >> 12 */
typedef uint64_t pfn_t; /* host frame number: hpa >> 12 */

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE ((uint64_t)1 << PAGE_SHIFT)
#define PAGE_MASK (PAGE_SIZE - 1)

#define BIT(n) ((uint64_t)1 << (n))
/* Bits lo..hi of a 64-bit word, both included. */
#define BITS(hi, lo) ((~(uint64_t)0 >> (63 - (hi))) & (~(uint64_t)0 << (lo)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define NORETURN __attribute__((noreturn))
#define NOINLINE __attribute__((noinline)) /* keeps a rare path's registers out of a frequent one */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

static inline uint64_t align_down(uint64_t x, uint64_t align) { return x & ~(align - 1); }
static inline uint64_t align_up(uint64_t x, uint64_t align) { return (x + align - 1) & ~(align - 1); }
static inline bool is_aligned(uint64_t x, uint64_t align) { return (x & (align - 1)) == 0; }

/* Of a linear address of that many bits: SDM "Canonical Addressing". */
static inline bool is_canonical(uint64_t address, uint32_t bits)
{
	int64_t high = (int64_t)address >> (bits - 1);

	return high == 0 || high == -1;
}
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* a * b / c without overflow of the product; the quotient must fit 64 bits, else #DE. By hand because
 * a 128-bit division is a call into libgcc, which is not built for the hypervisor. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t high;
	__asm__("mulq %2\n\tdivq %3" : "+&a"(a), "=&d"(high) : "rm"(b), "rm"(c) : "cc");
	return a;
}

#endif
