/*
 * The ways in which a VM's memory is mapped: what gnomon.conf asks for and mmu/ builds.
 */
#ifndef HV_BASE_MMU_KIND_H
#define HV_BASE_MMU_KIND_H

enum mmu_kind {
	MMU_EPT,    /* the CPU walks the guest's tables and then the EPT */
	MMU_SHADOW, /* the CPU walks tables that stand for the guest's own */
	MMU_BY_HOST, /* of a configuration: EPT where the CPU has what it takes, else shadow */
};

#endif
