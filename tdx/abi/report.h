/*
 * TDREPORT, which TDG.MR.REPORT writes: what a TD is, and a MAC that holds on the machine that made it. TDX
 * Module 1.5 ABI specification, "TDREPORT_STRUCT".
 */
#ifndef TDX_ABI_REPORT_H
#define TDX_ABI_REPORT_H

#include "hv/base/types.h"

#define TDX_MEASUREMENT 48 /* bytes of SHA-384 */
#define TDX_REPORT_DATA 64
#define TDX_REPORT_TYPE_TDX 0x81

struct tdx_report_mac {
	uint8_t type, subtype, version, reserved0;
	uint8_t reserved1[12];
	uint8_t cpusvn[16];
	uint8_t tee_tcb_info_hash[TDX_MEASUREMENT];
	uint8_t tee_info_hash[TDX_MEASUREMENT];
	uint8_t report_data[TDX_REPORT_DATA];
	uint8_t reserved2[32];
	uint8_t mac[32]; /* HMAC-SHA-256 of all that is above */
};
_Static_assert(sizeof(struct tdx_report_mac) == 256, "REPORTMACSTRUCT");

/* The module that made it. */
struct tdx_tee_tcb_info {
	uint64_t valid;
	uint8_t tcb_svn[16];
	uint8_t mrseam[TDX_MEASUREMENT];
	uint8_t mrsignerseam[TDX_MEASUREMENT];
	uint64_t attributes; /* 0: a production module */
	uint8_t reserved[128];
};
_Static_assert(sizeof(struct tdx_tee_tcb_info) == 256, "TEE_TCB_INFO");
#define TDX_TEE_TCB_INFO_HASHED 239 /* bytes of it that its hash takes in */

/* The TD. */
struct tdx_tdinfo {
	uint64_t attributes, xfam;
	uint8_t mrtd[TDX_MEASUREMENT];
	uint8_t mrconfigid[TDX_MEASUREMENT], mrowner[TDX_MEASUREMENT], mrownerconfig[TDX_MEASUREMENT];
	uint8_t rtmr[4][TDX_MEASUREMENT];
	uint8_t servtd_hash[TDX_MEASUREMENT];
	uint8_t reserved[64];
};
_Static_assert(sizeof(struct tdx_tdinfo) == 512, "TDINFO");

struct tdx_report {
	struct tdx_report_mac mac;
	struct tdx_tee_tcb_info tcb;
	struct tdx_tdinfo td;
};
_Static_assert(sizeof(struct tdx_report) == 1024, "TDREPORT");

#endif
