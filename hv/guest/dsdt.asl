/*
 * What the ACPI interpreter of a PC is told: what every guest has, and the PC's interrupt controller and timer.
 */
DefinitionBlock ("", "DSDT", 2, "GNOMON", "GNOMONPC", 0x00000001)
{
	Name (\_S5, Package () { 5, 5, 0, 0 })

	Scope (\_SB)
	{
		Include ("dsdt_common.asi")

		Device (PIC)
		{
			Name (_HID, EisaId ("PNP0000"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
				IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
				IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
				IRQNoFlags () { 2 }
			})
		}

		Device (TIMR)
		{
			Name (_HID, EisaId ("PNP0100"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
				IRQNoFlags () { 0 }
			})
		}

		Device (SPKR)
		{
			Name (_HID, EisaId ("PNP0800"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
			})
		}
	}
}
