/*
 * What the ACPI interpreter of a TD is told: no PIC, whose interrupts could not reach it, and no PIT.
 */
DefinitionBlock ("", "DSDT", 2, "GNOMON", "GNOMONPC", 0x00000001)
{
	Name (\_S5, Package () { 5, 5, 0, 0 })

	Scope (\_SB)
	{
		Include ("dsdt_common.asi")
	}
}
