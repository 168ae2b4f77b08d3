/* Multiplication and division, of operands of 1 to 8 bytes. */
#include "hv/emulate/multiply.h"

#include "hv/base/x86.h"
#include "hv/emulate/flags.h"

struct wide multiply(bool with_sign, unsigned size, uint64_t a, uint64_t b, uint64_t *rflags)
{
	unsigned __int128 product;
	struct wide w;
	bool more;

	if (with_sign)
		product = (unsigned __int128)((__int128)(int64_t)sign_extend(a, size) *
					      (int64_t)sign_extend(b, size));
	else
		product = (unsigned __int128)truncate_to(a, size) * truncate_to(b, size);
	w.low = truncate_to((uint64_t)product, size);
	w.high = truncate_to((uint64_t)(product >> 8 * size), size);
	/* Signed, the high half may hold nothing but copies of the low half's sign. */
	more = with_sign ? w.high != truncate_to(-(w.low >> (8 * size - 1)), size) : w.high != 0;
	*rflags = (*rflags & ~(RFLAGS_CF | RFLAGS_OF)) | (more ? RFLAGS_CF | RFLAGS_OF : 0);
	return w;
}

static bool divide_unsigned(unsigned size, struct wide dividend, uint64_t divisor, uint64_t *quotient,
			    uint64_t *remainder)
{
	uint64_t low = dividend.low, high = dividend.high;

	if (high >= divisor)
		return false;
	if (size < 8) {
		low |= high << (8 * size);
		high = 0;
	}
	/* By hand: the compiler would call a library that is not there for a 128-bit dividend. */
	__asm__("divq %[divisor]" : "=a"(*quotient), "=d"(*remainder)
		: "a"(low), "d"(high), [divisor] "r"(divisor) : "cc");
	return true;
}

static struct wide negate(unsigned size, struct wide w)
{
	return (struct wide){ truncate_to(-w.low, size), truncate_to(~w.high + (w.low == 0), size) };
}

static bool is_negative(unsigned size, uint64_t value) { return value >> (8 * size - 1) & 1; }

/* By absolute values: the quotient's sign is the product of both, the remainder has the dividend's. */
static bool divide_signed(unsigned size, struct wide dividend, uint64_t divisor, uint64_t *quotient,
			  uint64_t *remainder)
{
	bool minus = is_negative(size, dividend.high), opposite = minus != is_negative(size, divisor);
	uint64_t largest = BIT(8 * size - 1) - (opposite ? 0 : 1);

	if (minus)
		dividend = negate(size, dividend);
	if (is_negative(size, divisor))
		divisor = truncate_to(-divisor, size);
	if (!divide_unsigned(size, dividend, divisor, quotient, remainder) || *quotient > largest)
		return false;
	if (opposite)
		*quotient = truncate_to(-*quotient, size);
	if (minus)
		*remainder = truncate_to(-*remainder, size);
	return true;
}

bool divide(bool with_sign, unsigned size, struct wide dividend, uint64_t divisor, uint64_t *quotient,
	    uint64_t *remainder)
{
	dividend.low = truncate_to(dividend.low, size);
	dividend.high = truncate_to(dividend.high, size);
	divisor = truncate_to(divisor, size);
	return (with_sign ? divide_signed : divide_unsigned)(size, dividend, divisor, quotient, remainder);
}
