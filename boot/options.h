/*
 * The load options of gnomon.efi: what stands on GRUB's chainloader line behind the file. Pure.
 */
#ifndef BOOT_OPTIONS_H
#define BOOT_OPTIONS_H

#include "hv/base/types.h"

#define OPTIONS_MAX 2048

/*
 * Turns load options (len bytes, expected to be UCS-2) into plain text in out (OPTIONS_MAX bytes).
 * False: they are not text; firmware passes data of its own there. True with "" when there are none.
 */
bool options_to_text(const void *data, size_t len, char *out);

/*
 * The next word of *rest, cut out in place; double quotes keep spaces together and are dropped.
 * The program's own name, which a UEFI shell puts first, is skipped. NULL: no more.
 */
char *options_next(char **rest);

#endif
