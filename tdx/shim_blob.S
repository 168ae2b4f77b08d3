/*
 * The TD shim, as tdx/image.c puts it into TDs.
 */
	.section .rodata, "a", @progbits
	.globl shim_blob, shim_blob_end
	.balign 4096
shim_blob:
	.incbin SHIM_BIN
shim_blob_end:
	.section .note.GNU-stack, "", @progbits
