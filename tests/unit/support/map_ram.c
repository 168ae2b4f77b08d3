/* The map of RAM in host tests that do not look at what is taken out of it. */
#include "hv/base/map_ram.h"

int map_hide(hpa_t first, uint64_t npages)
{
	(void)first;
	(void)npages;
	return 0;
}

void map_show(hpa_t first, uint64_t npages)
{
	(void)first;
	(void)npages;
}
