/*
 * The log on the firmware's framebuffer: text in 8x16 cells, colours by level. The framebuffer is
 * written, never read back: a copy of the text is kept beside it.
 */
#ifndef DRIVERS_FBCON_H
#define DRIVERS_FBCON_H

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/log.h"
#include "hv/base/types.h"

/* pixels: the framebuffer, mapped write-combining. -EINVAL with a sentence for a geometry that does
 * not hold together; then everything else does nothing. */
int fbcon_init(const struct boot_framebuffer *fb, void *pixels, struct failure *f);

/* The same framebuffer at another address; NULL: it cannot be reached for now, what is written meanwhile
 * is not shown. */
void fbcon_set_pixels(void *pixels);

/* A log sink. */
void fbcon_log_sink(enum log_level level, const char *line, size_t len);
/* A panic's output. */
void fbcon_panic_write(const char *text, size_t len);

#endif
