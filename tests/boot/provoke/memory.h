/*
 * The guest's memory in the build of tests/boot/provoke, as its maker and the tiny guest highmem know it.
 */
#ifndef TESTS_BOOT_PROVOKE_MEMORY_H
#define TESTS_BOOT_PROVOKE_MEMORY_H

#define PROVOKE_LOW_RAM_END 0x4000000ul /* GUEST_LOW_RAM_END of boot.mk */
#define PROVOKE_ROM 0x200000000ul       /* the first PROVOKE_ROM_SIZE of the RAM from 4 GiB on, read-only */
#define PROVOKE_ROM_SIZE 0x400000ul

#endif
