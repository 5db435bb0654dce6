/* The version of all layouts in maps/. Maps are pinned in a folder named by it (maps/v4), so that programs of another
 * version never meet them: an upgrade across versions starts with new maps, in which running connections are picked up
 * from their next packet, and removes the old ones when the last program is switched. */
#ifndef SLUICE_MAPS_LAYOUT_H
#define SLUICE_MAPS_LAYOUT_H

#define SLUICE_LAYOUT_VERSION 4

#endif
