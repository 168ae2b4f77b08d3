/*
 * How an operator on the network shows that he has net_key: a challenge that is never given twice, and the one answer
 * to it. docs/network.md has what this is good against and what not. No locks.
 */
#ifndef HV_NET_REMOTE_AUTH_H
#define HV_NET_REMOTE_AUTH_H

#include "hv/base/types.h"

#define REMOTE_NONCE_DIGITS 64
#define REMOTE_ANSWER_MAX 80 /* bytes of the longest line that can be an answer */
#define REMOTE_PREFIX "gnomon monitor " /* what stands before the nonce in what is digested */

struct remote_challenge {
	char nonce[REMOTE_NONCE_DIGITS + 1]; /* hexadecimal */
};

enum remote_answer {
	REMOTE_WRONG,
	REMOTE_RIGHT,
	REMOTE_RIGHT_ECHO, /* and the operator wants to see what he types */
};

/* A new challenge: random, and different from all before even if the random numbers are bad. */
void remote_challenge_make(struct remote_challenge *c, const char *key);
/*
 * Judges a line without its end: 64 hexadecimal digits, the HMAC-SHA-256 under key of REMOTE_PREFIX and the nonce;
 * " echo" may follow. Takes the same time for every 64 digits.
 */
enum remote_answer remote_answer_judge(const struct remote_challenge *c, const char *key, const char *line, size_t len);

/* Wrong answers hold back the next ones, wherever they come from: 2, 4, 8, up to 64 seconds. */
struct remote_brake {
	uint32_t failures; /* since the last right answer */
	uint64_t until;    /* host TSC */
};
/* Seconds, rounded up, until an answer is looked at; 0: now. */
uint32_t remote_brake_left(const struct remote_brake *b, uint64_t now);
void remote_brake_judged(struct remote_brake *b, bool right, uint64_t now);

#endif
