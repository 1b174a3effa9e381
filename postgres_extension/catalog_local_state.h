/*
 * catalog_local_state.h
 *	  The versions of the local catalogs, as a row that is written by the same
 *	  local transaction that changes them.
 */
#ifndef BOREALIS_CATALOG_LOCAL_STATE_H
#define BOREALIS_CATALOG_LOCAL_STATE_H

#include "borealis.h"

extern void catalog_local_state_read(uint64 *catalog_version, uint64 *schema_version);
extern void catalog_local_state_write(uint64 catalog_version, uint64 schema_version);

#endif							/* BOREALIS_CATALOG_LOCAL_STATE_H */
