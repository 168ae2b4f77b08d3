/*
 * A debugger's hold on a guest: all its vCPUs stopped and set going together, their registers and memory
 * while they are stopped, breakpoints, single steps. The protocol that a debugger speaks is hv/gdb's.
 *
 * While a debugger is attached each vCPU has a struct vcpu_debug. A vCPU that is to stay out of the guest
 * copies its registers there, says so, and blocks; the monitor's context looks at the copies and changes
 * them, and what was changed is put in place when the vCPU goes on. Without a debugger v->debug is NULL and
 * costs nothing on the way of an exit. Functions are the monitor's context's unless they say otherwise.
 */
#ifndef HV_DEBUG_H
#define HV_DEBUG_H

#include "hv/vm.h"

#define DEBUG_HW 4        /* debug registers */
#define DEBUG_SOFT 64     /* software breakpoints of a guest */
#define DEBUG_FX_BYTES 512

enum debug_access { DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_ACCESS = 3 }; /* as DR7 encodes them */

/* What a vCPU is to do for the debugger from now on. */
struct debug_plan {
	bool attached; /* #BP is looked at; breakpoints and steps are reported by debug_hit() */
	bool step;     /* one instruction, then stop */
	struct debug_hw {
		bool used;
		enum debug_access access;
		uint8_t length; /* 1, 2, 4, 8; 1 with DEBUG_EXECUTE */
		gva_t address;  /* a multiple of length */
	} hw[DEBUG_HW];
};

enum debug_event {
	DEBUG_NOTHING,  /* it was told to stop */
	DEBUG_STEPPED,
	DEBUG_SOFT_HIT, /* RIP is at the breakpoint */
	DEBUG_HW_HIT,   /* the same, by a debug register */
	DEBUG_WATCH_HIT /* the access has been made; address: what was watched */
};

struct debug_regs {
	uint64_t gpr[GPR_COUNT]; /* RSP too */
	uint64_t reg[REG_COUNT];
	uint64_t cr2;
	uint8_t fx[DEBUG_FX_BYTES]; /* as FXSAVE stores it in 64-bit mode */
};

/*
 * One word goes round between a vCPU and the monitor's context: anybody asks a vCPU that is GOING, it alone
 * answers, and then the monitor alone sets it going. tests/model/hold.pml.
 */
enum debug_hold {
	HOLD_GOING,
	HOLD_ASKED, /* to stay out of the guest */
	HOLD_HELD   /* is out; all but `out` is the monitor's */
};

struct vcpu_debug {
	uint32_t hold; /* atomic: enum debug_hold */
	bool out;      /* the vCPU's own: regs are to be put in place when it goes on */
	bool leave;    /* when it goes on: the debugger has gone, and so shall v->debug */
	enum debug_event event;
	uint64_t address;
	enum debug_access access;
	struct debug_plan plan;        /* from when it goes on */
	struct debug_regs regs, before; /* what the debugger makes of them, and as they were */
};

struct debug_soft {
	gva_t address; /* as the debugger named it */
	gpa_t gpa;
	uint8_t byte;  /* that the guest had there */
	bool used;
};

/* A debugger at a guest. */
struct debug {
	struct vm *vm;
	uint32_t vcpus;
	struct debug_hw hw[DEBUG_HW];
	struct debug_soft soft[DEBUG_SOFT];
	struct vcpu_debug vcpu[]; /* `vcpus` of them */
};

/* Takes hold of a running guest and makes it stop: debug_all_held() says when it has. NULL with a sentence:
 * it does not run, cannot be debugged, is being debugged, or there is no memory. */
struct debug *debug_attach(struct vm *vm, struct failure *f);
/* Takes every breakpoint out and sets the vCPUs going as if nothing had been. All are held. Afterwards
 * only debug_release() may be called, until it returns true. */
void debug_detach(struct debug *d);
/* True when the vCPUs have let go; d is no more. monitor_wake() is called when that may have come. */
bool debug_release(struct debug *d);
/* Its guest has stopped for good: the same at once. The vCPUs have come to rest. */
void debug_abandon(struct debug *d);

/* All vCPUs stop; monitor_wake() when each has. Any context, also a vCPU's. */
void debug_halt(struct debug *d);
bool debug_all_held(const struct debug *d);
/* One more step or run of those that steps[] and runs[] name; the others stay. All are held. */
void debug_resume(struct debug *d, const bool *steps, const bool *runs);

/*
 * Memory at linear addresses, as vCPU `index` would see it with all rights, breakpoints hidden. All are
 * held. Returns how many bytes from address on there were; a write stops before what is no RAM too.
 */
size_t debug_read(struct debug *d, uint32_t index, gva_t address, void *buf, size_t len);
size_t debug_write(struct debug *d, uint32_t index, gva_t address, const void *buf, size_t len);

/* 0 also when it is there already. -EFAULT: no RAM; -ENOSPC: no more room. All are held. */
int debug_insert_soft(struct debug *d, uint32_t index, gva_t address);
/* -ENOENT: there is none. Where the guest has written something else meanwhile, that stays. */
int debug_remove_soft(struct debug *d, gva_t address);
/* Of all vCPUs. -EINVAL: a length no debug register has, or not aligned; -ENOSPC: all four are taken. */
int debug_insert_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length);
int debug_remove_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length);

/* ---- for the back end, on v's CPU, v->debug not NULL ---- */

/* Something of the debugger's has happened: all vCPUs of the VM stop. */
void debug_hit(struct vcpu *v, enum debug_event event, uint64_t address, enum debug_access access);
/* Whether the INT3 at that linear address is the debugger's. */
bool debug_owns_int3(struct vcpu *v, gva_t address);
/* Up to len bytes of code at the linear address, as the guest has it. */
size_t debug_fetch(struct vcpu *v, gva_t address, uint8_t *buf, size_t len);
/* Clears bits of the byte at the linear address, where it is RAM. */
void debug_clear_bits(struct vcpu *v, gva_t address, uint8_t bits);

/* ---- for the life of a vCPU ---- */

/* Whether v must not enter the guest for now. v's context. */
static inline bool debug_holds(const struct vcpu *v)
{
	return UNLIKELY(v->debug) && __atomic_load_n(&v->debug->hold, __ATOMIC_ACQUIRE) != HOLD_GOING;
}
/* Stops, blocks, and goes on as the debugger wants it: true when it has blocked, and the world may have
 * changed. v's context; its back end is loaded, v->debug is not NULL. */
bool debug_stay(struct vcpu *v);

#endif
