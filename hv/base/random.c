/* Owns random numbers: RDRAND, or what can be gathered without it. */
#include "hv/base/random.h"

#include <string.h>

#include "hv/base/digest.h"
#include "hv/base/x86.h"

#define CPUID1_ECX_RDRAND BIT(30)
#define RDRAND_TRIES 10 /* SDM vol. 1, "RDRAND Instruction": after ten in a row the generator is broken */
#define JITTER_SAMPLES 64

struct pool {
	uint8_t state[SHA256_BYTES];
	uint64_t count;
};

static struct pool pool;

static bool rdrand(uint64_t *value)
{
	for (int i = 0; i < RDRAND_TRIES; i++) {
		bool good;

		__asm__ volatile("rdrand %1" : "=@ccc"(good), "=r"(*value));
		if (good)
			return true;
	}
	return false;
}

bool random_by_hardware(void)
{
	uint64_t value;

	return (cpuid(1, 0).ecx & CPUID1_ECX_RDRAND) && rdrand(&value);
}

/* CPUID serialises and, under another hypervisor, leaves it: its time varies with all that the machine does. */
static void gather(uint64_t samples[JITTER_SAMPLES])
{
	for (int i = 0; i < JITTER_SAMPLES; i++) {
		cpuid(0, 0);
		samples[i] = rdtsc();
	}
}

/* The new state is a digest of the old one and of fresh samples, the output one of the new state: nobody
 * finds a state from what was given out. */
static void next_block(uint8_t out[SHA256_BYTES])
{
	uint64_t samples[JITTER_SAMPLES];
	uint64_t count = __atomic_add_fetch(&pool.count, 1, __ATOMIC_RELAXED);

	gather(samples);
	hmac_sha256(pool.state, sizeof(pool.state), samples, sizeof(samples), pool.state);
	hmac_sha256(pool.state, sizeof(pool.state), &count, sizeof(count), out);
}

void random_bytes(void *out, size_t n)
{
	bool hardware = random_by_hardware();

	for (size_t done = 0; done < n;) {
		uint8_t block[SHA256_BYTES];
		uint64_t word;
		size_t some = sizeof(block);

		if (hardware && rdrand(&word)) {
			memcpy(block, &word, sizeof(word));
			some = sizeof(word);
		} else {
			next_block(block);
		}
		some = min_u64(some, n - done);
		memcpy((uint8_t *)out + done, block, some);
		done += some;
	}
}

uint32_t random_u32(void)
{
	uint32_t n;

	random_bytes(&n, sizeof(n));
	return n;
}
