/* A ring of bytes between a service and its stream. */
#include "hv/net/outbox.h"

#include <string.h>

void outbox_init(struct outbox *o, char *bytes, uint32_t size) { *o = (struct outbox){ .bytes = bytes, .size = size }; }

static void keep(struct outbox *o, const char *text, uint32_t n)
{
	uint32_t at = o->head % o->size;
	uint32_t first = (uint32_t)min_u64(n, o->size - at);

	memcpy(o->bytes + at, text, first);
	memcpy(o->bytes, text + first, n - first);
	o->head += n;
}

bool outbox_say(struct outbox *o, struct stream *s, const char *text, size_t n)
{
	size_t said = 0, room = o->size - (o->head - o->tail);

	if (outbox_empty(o))
		room += stream_room(s);
	if (o->full || n > room) {
		o->full = true;
		return false;
	}
	if (outbox_empty(o))
		said = stream_write(s, text, n);
	keep(o, text + said, (uint32_t)(n - said));
	return true;
}

size_t outbox_move(struct outbox *o, struct stream *s)
{
	size_t moved = 0;

	while (!outbox_empty(o)) {
		uint32_t at = o->tail % o->size;
		size_t n = stream_write(s, o->bytes + at, min_u64(o->head - o->tail, o->size - at));

		if (!n)
			break;
		o->tail += (uint32_t)n;
		moved += n;
	}
	return moved;
}
